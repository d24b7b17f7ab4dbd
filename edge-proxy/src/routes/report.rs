//! The lease: what this edge routes by and what it still sends to instances that have left.
//!
//! A position is acknowledged once it is on disk. The lease is renewed only while the routes are
//! followed: operators must not wait for an edge that learns nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use zeitwork_database::{Database, edges};
use zeitwork_model::generation::Position;
use zeitwork_model::id::EdgeId;
use zeitwork_runtime::Backoff;
use zeitwork_runtime::lifecycle::chain;

use super::standing::Standing;
use super::sync::{LookError, PERIOD};
use super::table::Table;

/// At most one report in this time, whatever happens.
const SPACING: Duration = Duration::from_millis(4);
/// How often it is looked whether what is drained has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(25);
/// Longest time for one report; a hanging database is as one that is down.
const LIMIT: Duration = Duration::from_secs(5);

/// The reporter.
#[derive(Debug)]
pub struct Reporter {
    /// The table.
    pub table: Arc<Table>,
    /// Where it reports.
    pub database: Database,
    /// Whose lease.
    pub id: EdgeId,
    /// Its name for people.
    pub name: String,
    /// How the routes are followed.
    pub standing: Arc<Standing>,
    /// The position that is on disk.
    pub kept: watch::Receiver<Option<Position>>,
    /// The lease is renewed this often where nothing happens.
    pub period: Duration,
}

impl Reporter {
    /// Reports until `over`, then gives the lease back.
    pub async fn run(mut self, over: CancellationToken) {
        tokio::select! {
            () = self.report_all() => {}
            () = over.cancelled() => {}
        }
        if !matches!(timeout(PERIOD, self.leave()).await, Ok(Ok(()))) {
            tracing::warn!("the lease could not be given back and ends by itself");
        }
    }

    async fn leave(&self) -> Result<(), zeitwork_database::Error> {
        edges::leave(&mut *self.database.acquire().await?, self.id).await
    }

    async fn report_all(&mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let mut period = interval(self.period);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut draining = 0;
        loop {
            let before = draining;
            tokio::select! {
                changed = self.kept.changed() => {
                    if changed.is_err() {
                        // The keeper ends with the edge.
                        return std::future::pending().await;
                    }
                }
                _ = period.tick() => {}
                () = drained(&self.table, before) => {}
            }
            draining = self.table.draining();
            let reported = timeout(LIMIT, self.report()).await;
            match reported.unwrap_or(Err(LookError::Late)) {
                Ok(()) => {
                    backoff.reset();
                    sleep(SPACING).await;
                }
                Err(error) => {
                    // The follower says loudly when the database is away.
                    tracing::debug!(error = chain(&error), "the lease cannot be renewed");
                    sleep(backoff.next_delay()).await;
                    self.kept.mark_changed();
                }
            }
        }
    }

    async fn report(&mut self) -> Result<(), LookError> {
        let on_disk = *self.kept.borrow_and_update();
        let Some(on_disk) = on_disk else { return Ok(()) };
        if !self.standing.is_following() {
            return Err(LookError::NotFollowed);
        }
        let version = env!("CARGO_PKG_VERSION");
        let Some(report) = self.table.report(on_disk, version) else { return Ok(()) };
        let mut connection = self.database.acquire().await?;
        edges::report(&mut connection, self.id, &self.name, &report).await?;
        self.standing.renewed();
        Ok(())
    }
}

/// Resolves when less is drained than was reported.
async fn drained(table: &Table, reported: usize) {
    let mut most = reported.max(table.draining());
    if most == 0 {
        // A drain begins with a change of the table, and that is reported by itself.
        return std::future::pending().await;
    }
    loop {
        let now = table.draining();
        if now < most {
            return;
        }
        most = now;
        sleep(DRAIN_LOOK).await;
    }
}

#[cfg(test)]
mod tests;
