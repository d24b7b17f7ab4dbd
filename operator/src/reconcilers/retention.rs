//! `retention`: removes what is old and not needed any more.

use std::sync::Arc;

use zeitwork_database::steps::retention;
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

    async fn pass(&mut self) -> Result<PassReport, Error> {
        let mut connection = self.0.database.acquire().await?;
        let connection = &mut *connection;
        let images = retention::images(connection, KEPT_DEPLOYMENTS);
        let mut changed = effect(step!("retention.images"), images).await?;
        let endpoints = retention::endpoints(connection);
        changed += effect(step!("retention.endpoints"), endpoints).await?;
        let feed = retention::route_feed(connection);
        changed += effect(step!("retention.route_feed"), feed).await?;
        changed += effect(step!("retention.edges"), retention::edges(connection)).await?;
        let logs = retention::logs(connection, LOG_DAYS);
        changed += effect(step!("retention.logs"), logs).await?;
        let keys = retention::idempotency_keys(connection);
        changed += effect(step!("retention.idempotency_keys"), keys).await?;
        let deliveries = retention::webhook_deliveries(connection);
        changed += effect(step!("retention.webhook_deliveries"), deliveries).await?;
        Ok(PassReport { seen: 7, changed, ..PassReport::default() })
    }
}
