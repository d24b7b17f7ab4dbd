//! Follows the database's routes.
//!
//! A signal or a second that has passed leads to the same look: everything after the position
//! that is applied, in one query. Without the database the table stays as it is, for ever; it is
//! tried again with growing pauses. Nothing here waits for the disk or for the lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use zeitwork_database::listen::{self, Signals};
use zeitwork_database::{Connection, Database, PgConnection, migrate, routes};
use zeitwork_model::generation::Position;
use zeitwork_protocol::edge::Feed;
use zeitwork_runtime::Backoff;
use zeitwork_runtime::lifecycle::chain;

use super::standing::Standing;
use super::table::Table;

/// Routes and lease are looked at this often without any signal.
pub const PERIOD: Duration = Duration::from_secs(1);
/// At most one look in this time, whatever is signalled.
const SPACING: Duration = Duration::from_millis(4);
/// Longest time for one look; a hanging database is as one that is down.
const LOOK_LIMIT: Duration = Duration::from_secs(15);

/// Why a look or a report was in vain.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The database says so.
    #[error(transparent)]
    Database(#[from] zeitwork_database::Error),
    /// It says nothing.
    #[error("the database does not answer in time")]
    Late,
    /// The routes are not followed, so there is nothing to report.
    #[error("the routes are not followed")]
    NotFollowed,
}

/// The follower.
#[derive(Debug)]
pub struct Follower {
    /// The table that it writes.
    pub table: Arc<Table>,
    /// Where it reads.
    pub database: Database,
    /// What it says of itself.
    pub standing: Arc<Standing>,
    /// Whether the table is to be taken anew, whatever its position.
    pub anew: Arc<AtomicBool>,
}

impl Follower {
    /// Follows until `over`.
    pub async fn run(self, over: CancellationToken) {
        tokio::select! {
            () = self.follow() => {}
            () = over.cancelled() => {}
        }
    }

    async fn follow(&self) {
        wait_for_schema(&self.database, &self.standing).await;
        let mut signals = Signals::new(&self.database, &[listen::ROUTES]);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Kept between looks: taking one from the pool asks the server whether it is alive.
        let mut connection = None;
        loop {
            let look = tokio::time::timeout(LOOK_LIMIT, self.look(&mut connection)).await;
            if let Err(error) = look.unwrap_or(Err(LookError::Late)) {
                connection = None;
                self.failed(&error);
                sleep(backoff.next_delay()).await;
                continue;
            }
            backoff.reset();
            sleep(SPACING).await;
            tokio::select! {
                () = signals.next() => {}
                _ = period.tick() => {}
            }
        }
    }

    async fn look(&self, kept: &mut Option<Connection>) -> Result<(), LookError> {
        let connection = match kept {
            Some(connection) => connection,
            None => kept.insert(self.database.acquire().await?),
        };
        while self.catch_up(connection).await? {}
        if self.standing.becomes_current() {
            tracing::info!("following the database's routes again");
        }
        Ok(())
    }

    /// Takes one answer of the feed; true: there may be more.
    async fn catch_up(
        &self,
        connection: &mut PgConnection,
    ) -> Result<bool, zeitwork_database::Error> {
        // No epoch is negative: without a table the answer is always "take a snapshot".
        let nowhere = Position { epoch: -1, generation: 0 };
        let position = self.table.position();
        let anew = self.anew.load(Ordering::Relaxed);
        let after = position.filter(|_| !anew).unwrap_or(nowhere);
        match routes::changes_after(connection, after).await? {
            (Feed::TakeSnapshot, _) => {
                let snapshot = routes::snapshot(connection).await?;
                if position.is_some_and(|position| position.refuses(snapshot.position)) {
                    // We read the database itself, not a message: it was set back.
                    tracing::warn!("the database's routes are older than ours; taking them");
                }
                self.table.replace(snapshot);
                self.anew.store(false, Ordering::Relaxed);
                Ok(true)
            }
            (Feed::Changes { changes, more }, reached) => {
                if Some(reached) != position {
                    self.table.apply(changes, reached);
                }
                Ok(more)
            }
        }
    }

    fn failed(&self, error: &LookError) {
        let text = chain(error);
        if self.standing.failed(&text) {
            tracing::warn!(error = text, "the routes cannot be followed; serving the last ones");
        }
    }
}

/// Waits for a schema that this program works with, and says so while it waits.
async fn wait_for_schema(database: &Database, standing: &Standing) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    while let Err(error) = migrate::check(database).await {
        let text = chain(&error);
        if standing.is_news(&text) {
            tracing::warn!(error = text, "waiting for the database");
        }
        sleep(backoff.next_delay()).await;
    }
}
