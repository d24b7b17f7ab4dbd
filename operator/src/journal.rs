//! Writes what the reconcilers did last where the api reads it.

use std::time::Duration;

use zeitwork_database::Database;
use zeitwork_database::reconciler_reports::{self, Report};
use zeitwork_runtime::reconciler::ReconcilerStatus;
use zeitwork_runtime::{Lifecycle, Reconcilers, effect, step};

/// People look at it; they do not wait for it.
const PERIOD: Duration = Duration::from_secs(5);

pub(crate) async fn write(database: Database, all: Reconcilers, life: Lifecycle) {
    loop {
        tokio::select! {
            () = life.stopping() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
        let statuses = all.statuses();
        if let Err(error) = put(&database, &statuses).await {
            tracing::debug!(%error, "the reports were not written");
        }
    }
}

async fn put(database: &Database, statuses: &[ReconcilerStatus]) -> zeitwork_database::Result<()> {
    let reports: Vec<Report<'_>> = statuses.iter().filter_map(report).collect();
    let mut connection = database.acquire().await?;
    effect(step!("journal.put"), reconciler_reports::put(&mut connection, &reports)).await
}

fn report(status: &ReconcilerStatus) -> Option<Report<'_>> {
    let last = status.last_pass.as_ref()?;
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Some(Report {
        name: &status.name,
        last_pass_at: last.at,
        duration_ms: number(last.duration_ms),
        passes: number(status.passes_total),
        actions: number(status.changed_total),
        drift_found: number(status.drift_found_total),
        error: status.last_error.as_deref().filter(|_| status.failures_in_a_row > 0),
        detail: serde_json::json!({
            "seen": last.seen,
            "changed": last.changed,
            "failed": last.failed,
            "failures": status.failures_total,
            "ignored": status.ignored_total,
            "reasons": last.reasons,
        }),
    })
}
