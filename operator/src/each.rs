//! Works on many keys at once: bounded, each with a time-out, one's failure no other's.
//!
//! A key whose work did not succeed rests for a while that doubles, so that one that never will
//! neither keeps the operator busy nor stands in the way of the others.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::Instant;
use zeitwork_runtime::failpoint::Step;
use zeitwork_runtime::lifecycle::chain;
use zeitwork_runtime::{PassReport, effect};

use crate::Error;

#[cfg(test)]
mod tests;

/// Keys in work at once; each uses a connection of the pool.
const AT_ONCE: usize = 4;
/// A key that takes longer is dropped and left to another pass.
const LIMIT: Duration = Duration::from_secs(10);
/// The rest after a first failure: somebody else was faster, mostly.
const FIRST: Duration = Duration::from_millis(20);
/// The longest rest: what was mended (a database that is back, a constraint) is seen so soon.
const CAP: Duration = Duration::from_secs(10);
/// So many failures in a row (2.5 s of rests) are no race any more.
const LASTING: u32 = 8;
/// A key that nobody has asked for since is gone.
const FORGET: Duration = Duration::from_mins(5);

/// What became of one key.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Steps carried out.
    pub(crate) changed: u64,
    /// Things that a node said and had no right to say.
    pub(crate) ignored: u64,
    /// Why it waits.
    pub(crate) reason: Option<String>,
}

impl Done {
    /// So many steps, and nothing to wait for.
    pub(crate) fn steps(changed: u64) -> Self {
        Self { changed, ..Self::default() }
    }
}

/// The keys of one reconciler, and which of them rest.
#[derive(Debug)]
pub(crate) struct Keys {
    reconciler: &'static str,
    step: Step,
    resting: HashMap<String, Rest>,
}

#[derive(Debug)]
struct Rest {
    failures: u32,
    until: Instant,
    why: String,
}

impl Keys {
    /// None rests; `step` names the work of one key.
    pub(crate) fn new(reconciler: &'static str, step: Step) -> Self {
        Self { reconciler, step, resting: HashMap::new() }
    }

    /// Carries out the works whose keys do not rest, and adds to the report what became of them
    /// and why the others rest.
    pub(crate) async fn work<R>(&mut self, report: &mut PassReport, works: Vec<(String, R)>)
    where
        R: Future<Output = Result<Done, Error>>,
    {
        let now = Instant::now();
        self.resting.retain(|_, rest| rest.until + FORGET > now);
        let mut due = Vec::new();
        for (key, work) in works {
            report.seen += 1;
            match self.resting.get(&key).filter(|rest| rest.until > now) {
                Some(rest) => rest.show(&key, report),
                None => due.push((key, effect(self.step, work))),
            }
        }
        // A pass has its own time-out: those that use it up go last.
        due.sort_by_key(|(key, _)| self.resting.get(key).map_or(0, |rest| rest.failures));
        let timed: Vec<_> = due
            .into_iter()
            .map(|(key, work)| async move { (key, tokio::time::timeout(LIMIT, work).await) })
            .collect();
        let mut finished = futures::stream::iter(timed).buffer_unordered(AT_ONCE);
        while let Some((key, outcome)) = finished.next().await {
            match outcome {
                Ok(Ok(done)) => {
                    self.resting.remove(&key);
                    report.changed += done.changed;
                    report.ignored += done.ignored;
                    report.reasons.extend(done.reason.map(|reason| format!("{key}: {reason}")));
                }
                Ok(Err(error)) => self.rest(&key, chain(&error), is_race(&error), report),
                Err(_) => {
                    let why = format!("took longer than {} s", LIMIT.as_secs());
                    self.rest(&key, why, false, report);
                }
            }
        }
    }

    /// Lets a key rest. Each failure is told once, and that it lasts is an error once.
    fn rest(&mut self, key: &str, why: String, is_race: bool, report: &mut PassReport) {
        let reconciler = self.reconciler;
        let before = self.resting.remove(key);
        let failures = before.as_ref().map_or(0, |rest| rest.failures) + 1;
        let is_told = before.is_some_and(|rest| rest.why == why);
        if failures == LASTING {
            tracing::error!(
                reconciler.name = reconciler,
                key,
                error = why,
                "a step never succeeds"
            );
        } else if is_race || is_told {
            tracing::debug!(reconciler.name = reconciler, key, error = why, "look again");
        } else {
            tracing::warn!(reconciler.name = reconciler, key, error = why, "step failed");
        }
        let delay = FIRST.saturating_mul(1 << (failures - 1).min(16)).min(CAP);
        let rest = Rest { failures, until: Instant::now() + delay, why };
        rest.show(key, report);
        self.resting.insert(key.to_owned(), rest);
    }
}

impl Rest {
    fn show(&self, key: &str, report: &mut PassReport) {
        report.failed += 1;
        let delay = self.until.saturating_duration_since(Instant::now());
        report.again_after = Some(report.again_after.map_or(delay, |other| other.min(delay)));
        // A race that was lost once is nobody's concern.
        if self.failures > 1 {
            report.reasons.push(format!("{key}: {} ({} times)", self.why, self.failures));
        }
    }
}

/// Somebody else was faster, it seems; what stays so is found by its lasting.
fn is_race(error: &Error) -> bool {
    use zeitwork_database::Error as Database;
    matches!(error, Error::Database(Database::Constraint { .. })) || error.is_stale()
}
