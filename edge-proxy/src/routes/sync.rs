//! Follows the database: routes in, report and lease out.
//!
//! A signal or a second that has passed leads to the same look: everything after the position
//! that is applied, in one query, then the report. Without the database the table stays as it
//! is, for ever; it is tried again with growing pauses.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use zeitwork_database::listen::{self, Signals};
use zeitwork_database::{Database, edges, migrate, routes};
use zeitwork_model::generation::Position;
use zeitwork_model::id::EdgeId;
use zeitwork_protocol::edge::Feed;
use zeitwork_runtime::Backoff;
use zeitwork_runtime::lifecycle::chain;

use super::disk::{Disk, DiskError};
use super::table::Table;

/// Routes and lease are looked at this often without any signal.
const PERIOD: Duration = Duration::from_secs(1);
/// At most one look in this time, whatever is signalled.
const SPACING: Duration = Duration::from_millis(4);
/// How often it is looked whether what is drained has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(25);
/// How often the whole table is compared with the database's.
const COMPARE: Duration = Duration::from_mins(10);
/// Longest time for one look; a hanging database is as one that is down.
const LOOK_LIMIT: Duration = Duration::from_secs(15);
/// The table is compared with the copy on disk this often.
const WRITE: Duration = Duration::from_millis(50);
/// The copy of a large table is never older than this by plan.
const WRITE_AT_LEAST: Duration = Duration::from_secs(1);
/// Writing takes at most this part of the time.
const WRITE_SHARE: u32 = 20;

/// How the edge stands towards the database, for `/readyz` and metrics.
#[derive(Debug, Default)]
pub struct Standing(Mutex<State>);

/// What is known at the moment.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// When the table was last known to be current.
    pub current: Option<Instant>,
    /// When the lease was last renewed.
    pub renewed: Option<Instant>,
    /// Why the database does not answer.
    pub trouble: Option<String>,
    /// Comparisons that found a difference.
    pub drift: u64,
    /// Looks that failed.
    pub failures: u64,
}

impl Standing {
    /// Now.
    #[must_use]
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// Whether operators still wait for this edge.
    #[must_use]
    pub fn has_lease(&self) -> bool {
        self.lock().renewed.is_some_and(|at| at.elapsed() < edges::LEASE)
    }

    /// The table is current; true where there was trouble before.
    fn becomes_current(&self) -> bool {
        let mut state = self.lock();
        state.current = Some(Instant::now());
        state.trouble.take().is_some()
    }

    /// Notes a trouble; true where it is not the one that is already known.
    fn is_news(&self, trouble: &str) -> bool {
        let mut state = self.lock();
        let news = state.trouble.as_deref() != Some(trouble);
        state.trouble = Some(trouble.to_owned());
        news
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the copy on disk as the first table, where there is one.
pub fn warm_up(table: &Table, disk: &Disk) {
    match disk.read() {
        Ok(copy) => {
            tracing::info!(routes = copy.routes.len(), "serving the route table on disk");
            table.replace(copy);
        }
        Err(DiskError::Missing) => {}
        Err(error) => {
            tracing::error!(error = chain(&error), "the route table on disk is not used");
        }
    }
}

/// Why a look was in vain.
#[derive(Debug, thiserror::Error)]
enum LookError {
    /// The database says so.
    #[error(transparent)]
    Database(#[from] zeitwork_database::Error),
    /// It says nothing.
    #[error("the database does not answer within {} s", LOOK_LIMIT.as_secs())]
    Late,
}

/// The follower.
#[derive(Debug)]
pub struct Follower {
    /// The table that it writes.
    pub table: Arc<Table>,
    /// Where it reads.
    pub database: Database,
    /// Whose report.
    pub id: EdgeId,
    /// Its name for people.
    pub name: String,
    /// What it says of itself.
    pub standing: Arc<Standing>,
}

impl Follower {
    /// Follows until `over`, then gives the lease back.
    pub async fn run(self, over: CancellationToken) {
        tokio::select! {
            () = self.follow() => {}
            () = over.cancelled() => {}
        }
        let left = tokio::time::timeout(PERIOD, self.leave()).await;
        if !matches!(left, Ok(Ok(()))) {
            tracing::warn!("the lease could not be given back and ends by itself");
        }
    }

    async fn leave(&self) -> Result<(), zeitwork_database::Error> {
        edges::leave(&mut *self.database.acquire().await?, self.id).await
    }

    async fn follow(&self) {
        wait_for_schema(&self.database, &self.standing).await;
        let mut signals = Signals::new(&self.database, &[listen::ROUTES]);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What was read from disk is compared at once, so that a restart mends a difference.
        let mut compared = self.table.position().is_none().then(Instant::now);
        let mut draining = 0;
        loop {
            let compare = compared.is_none_or(|at| at.elapsed() > COMPARE);
            let look = tokio::time::timeout(LOOK_LIMIT, self.look(compare)).await;
            match look.unwrap_or(Err(LookError::Late)) {
                Ok(()) => {
                    backoff.reset();
                    if compare {
                        compared = Some(Instant::now());
                    }
                }
                Err(error) => {
                    self.failed(&error);
                    sleep(backoff.next_delay()).await;
                    continue;
                }
            }
            sleep(SPACING).await;
            let before = draining;
            tokio::select! {
                () = signals.next() => {}
                _ = period.tick() => {}
                () = self.drained(before) => {}
            }
            draining = self.table.draining();
        }
    }

    /// Resolves when less is drained than was reported.
    async fn drained(&self, reported: usize) {
        let mut most = reported.max(self.table.draining());
        if most == 0 {
            // Only a change of the table, made by this same task, begins a drain.
            return std::future::pending().await;
        }
        loop {
            let now = self.table.draining();
            if now < most {
                return;
            }
            most = now;
            sleep(DRAIN_LOOK).await;
        }
    }

    async fn look(&self, compare: bool) -> Result<(), LookError> {
        let mut connection = self.database.acquire().await?;
        while self.catch_up(&mut connection).await? {}
        if compare {
            self.compare(&mut connection).await?;
        }
        if self.standing.becomes_current() {
            tracing::info!("following the database's routes again");
        }
        if let Some(report) = self.table.report(env!("CARGO_PKG_VERSION")) {
            edges::report(&mut connection, self.id, &self.name, &report).await?;
            self.standing.lock().renewed = Some(Instant::now());
        }
        Ok(())
    }

    /// Takes one answer of the feed; true: there may be more.
    async fn catch_up(
        &self,
        connection: &mut zeitwork_database::PgConnection,
    ) -> Result<bool, zeitwork_database::Error> {
        // No epoch is negative: without a table the answer is always "take a snapshot".
        let nowhere = Position { epoch: -1, generation: 0 };
        let position = self.table.position();
        match routes::changes_after(connection, position.unwrap_or(nowhere)).await? {
            (Feed::TakeSnapshot, _) => {
                let snapshot = routes::snapshot(connection).await?;
                if position.is_some_and(|position| position.refuses(snapshot.position)) {
                    // We read the database itself, not a message: it was set back.
                    tracing::warn!("the database's routes are older than ours; taking them");
                }
                self.table.replace(snapshot);
                Ok(false)
            }
            (Feed::Changes(changes), reached) => {
                let more = Some(reached) != position;
                if more {
                    self.table.apply(changes, reached);
                }
                Ok(more)
            }
        }
    }

    /// Compares the whole table with the database's at the same position.
    async fn compare(
        &self,
        connection: &mut zeitwork_database::PgConnection,
    ) -> Result<(), zeitwork_database::Error> {
        let theirs = routes::snapshot(connection).await?;
        let ours = self.table.snapshot();
        let Some(ours) = ours.filter(|ours| ours.position == theirs.position) else {
            // Something was changed in between: the next comparison is soon enough.
            return Ok(());
        };
        if ours.routes != theirs.routes {
            tracing::error!("the route table differed from the database's and is replaced");
            self.standing.lock().drift += 1;
            self.table.replace(theirs);
        }
        Ok(())
    }

    fn failed(&self, error: &LookError) {
        let text = chain(error);
        self.standing.lock().failures += 1;
        if self.standing.is_news(&text) {
            tracing::warn!(error = text, "the routes cannot be followed; serving the last ones");
        }
    }
}

/// Keeps the copy on disk near the table, until `over`; then once more.
pub async fn keep_on_disk(table: Arc<Table>, disk: Disk, over: CancellationToken) {
    let mut written = table.version();
    let mut pause = WRITE;
    loop {
        let last = tokio::select! {
            () = sleep(pause) => false,
            () = over.cancelled() => true,
        };
        let version = table.version();
        if version != written {
            let (table, disk, began) = (table.clone(), disk.clone(), Instant::now());
            let writing = tokio::task::spawn_blocking(move || {
                table.snapshot().map_or(Ok(()), |snapshot| disk.write(&snapshot))
            });
            match writing.await {
                Ok(Ok(())) => written = version,
                Ok(Err(error)) => {
                    tracing::error!(error = chain(&error), "the route table is not on disk");
                }
                Err(_) => {}
            }
            pause = (began.elapsed() * WRITE_SHARE).clamp(WRITE, WRITE_AT_LEAST);
        }
        if last {
            return;
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
