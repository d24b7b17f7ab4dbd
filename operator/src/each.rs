//! Works on many keys at once: bounded, each with a time-out, one's failure no other's.

use std::future::Future;
use std::time::Duration;

use futures::StreamExt as _;
use zeitwork_runtime::PassReport;
use zeitwork_runtime::lifecycle::chain;

use crate::Error;

/// Keys in work at once; each uses a connection of the pool.
const AT_ONCE: usize = 4;
/// A key that takes longer is dropped and left to the next pass.
const LIMIT: Duration = Duration::from_secs(10);

/// What became of one key.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Steps carried out.
    pub(crate) changed: u64,
    /// Why it waits.
    pub(crate) reason: Option<String>,
}

impl Done {
    /// So many steps, and nothing to wait for.
    pub(crate) fn steps(changed: u64) -> Self {
        Self { changed, reason: None }
    }
}

/// Carries all works out, each named by its key, and adds to the report what became of them.
pub(crate) async fn each<R>(
    reconciler: &'static str,
    report: &mut PassReport,
    works: Vec<(String, R)>,
) where
    R: Future<Output = Result<Done, Error>>,
{
    let timed: Vec<_> = works
        .into_iter()
        .map(|(key, work)| async move { (key, tokio::time::timeout(LIMIT, work).await) })
        .collect();
    let mut finished = futures::stream::iter(timed).buffer_unordered(AT_ONCE);
    while let Some((key, outcome)) = finished.next().await {
        report.seen += 1;
        match outcome {
            Ok(Ok(done)) => {
                report.changed += done.changed;
                report.reasons.extend(done.reason.map(|reason| format!("{key}: {reason}")));
            }
            Ok(Err(error)) => {
                report.failed += 1;
                note(reconciler, &key, &error, report);
            }
            Err(_) => {
                report.failed += 1;
                let reason = format!("{key}: took longer than {} s", LIMIT.as_secs());
                tracing::warn!(reconciler.name = reconciler, reason, "step left to the next pass");
                report.reasons.push(reason);
            }
        }
    }
}

fn note(reconciler: &str, key: &str, error: &Error, report: &mut PassReport) {
    let text = chain(error);
    if error.is_stale() {
        tracing::debug!(reconciler.name = reconciler, key, error = text, "look again");
        report.again_after = Some(Duration::from_millis(20));
    } else {
        tracing::warn!(reconciler.name = reconciler, key, error = text, "step failed");
        report.reasons.push(format!("{key}: {text}"));
    }
}
