//! `retention`: removes what is old and not needed any more.

use std::sync::Arc;

use zeitwork_database::steps::retention;
use zeitwork_runtime::failpoint::Step;
use zeitwork_runtime::lifecycle::chain;
use zeitwork_runtime::{PassReport, Reconciler, effect, step};

use crate::{Error, World};

/// Deployments of an environment whose images are kept for a rollback.
const KEPT_DEPLOYMENTS: i64 = 5;
/// Days that logs are kept.
const LOG_DAYS: i32 = 7;

/// Keeps the past small.
#[derive(Debug)]
pub struct Retention(Arc<World>);

impl Retention {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        Self(world.clone())
    }
}

impl Reconciler for Retention {
    const NAME: &'static str = "retention";
    type Error = Error;

    /// What cannot be removed keeps nothing else from being removed.
    async fn pass(&mut self) -> Result<PassReport, Error> {
        let mut connection = self.0.database.acquire().await?;
        let connection = &mut *connection;
        let mut report = PassReport::default();
        let endpoints = retention::endpoints(connection);
        remove(&mut report, step!("retention.endpoints"), endpoints).await;
        let images = retention::images(connection, KEPT_DEPLOYMENTS);
        remove(&mut report, step!("retention.images"), images).await;
        let feed = retention::route_feed(connection);
        remove(&mut report, step!("retention.route_feed"), feed).await;
        remove(&mut report, step!("retention.edges"), retention::edges(connection)).await;
        let logs = retention::logs(connection, LOG_DAYS);
        remove(&mut report, step!("retention.logs"), logs).await;
        let keys = retention::idempotency_keys(connection);
        remove(&mut report, step!("retention.idempotency_keys"), keys).await;
        let deliveries = retention::webhook_deliveries(connection);
        remove(&mut report, step!("retention.webhook_deliveries"), deliveries).await;
        Ok(report)
    }
}

/// Carries out the removal of one kind of thing and adds what became of it to the report.
async fn remove(
    report: &mut PassReport,
    step: Step,
    work: impl Future<Output = Result<u64, zeitwork_database::Error>>,
) {
    report.seen += 1;
    match effect(step, work).await {
        Ok(removed) => report.changed += removed,
        Err(error) => {
            let error = chain(&error);
            tracing::warn!(step = step.0, error, "nothing could be removed");
            report.failed += 1;
            report.reasons.push(format!("{}: {error}", step.0));
        }
    }
}
