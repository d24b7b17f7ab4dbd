//! `retention`: removes what is old and not needed any more.

use std::sync::Arc;

use zeitwork_database::steps::retention;
use zeitwork_runtime::{PassReport, Reconciler};

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
        let changed = retention::endpoints(connection).await?
            + retention::images(connection, KEPT_DEPLOYMENTS).await?
            + retention::route_feed(connection).await?
            + retention::edges(connection).await?
            + retention::logs(connection, LOG_DAYS).await?
            + retention::idempotency_keys(connection).await?
            + retention::webhook_deliveries(connection).await?;
        Ok(PassReport { seen: 7, changed, ..PassReport::default() })
    }
}
