//! Compares the whole table with the database's, beside the follower: a difference is a fault of
//! ours, or a copy on disk that is not of this database; it is counted, said and mended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use zeitwork_database::{Database, routes};

use super::standing::Standing;
use super::sync::LookError;
use super::table::Table;

/// How often.
const PERIOD: Duration = Duration::from_mins(10);
/// Pause before the next try where table and database were not at one position.
const RETRY: Duration = Duration::from_millis(200);
/// Pause after a failure.
const FAILED: Duration = Duration::from_secs(5);
/// Longest comparison.
const LIMIT: Duration = Duration::from_mins(1);

/// The comparer.
#[derive(Debug)]
pub struct Comparer {
    /// Our table.
    pub table: Arc<Table>,
    /// With whose it is compared.
    pub database: Database,
    /// Where a difference is counted.
    pub standing: Arc<Standing>,
    /// Makes the follower take the table anew.
    pub anew: Arc<AtomicBool>,
}

impl Comparer {
    /// Compares until `over`: at once where the table came from disk, then from time to time.
    pub async fn run(self, over: CancellationToken) {
        tokio::select! {
            () = self.compare_all() => {}
            () = over.cancelled() => {}
        }
    }

    async fn compare_all(&self) {
        let mut pause = if self.table.position().is_some() { RETRY } else { PERIOD };
        loop {
            sleep(pause).await;
            pause = match timeout(LIMIT, self.compare()).await.unwrap_or(Err(LookError::Late)) {
                Ok(true) => PERIOD,
                Ok(false) => RETRY,
                // The follower says loudly when the database is away.
                Err(_) => FAILED,
            };
        }
    }

    /// False: the two were not at one position.
    async fn compare(&self) -> Result<bool, LookError> {
        let mut connection = self.database.acquire().await?;
        let mut theirs = routes::Snapshot::open(&mut connection).await?;
        let ours = self.table.freeze().filter(|ours| ours.position == theirs.position);
        let Some(ours) = ours else { return Ok(false) };
        let (mut count, mut same) = (0, true);
        while let Some(page) = theirs.page().await? {
            count += page.len();
            same &= page.into_iter().all(|(host, route)| ours.find(&host) == Some(route));
        }
        if !same || count != ours.hosts() {
            tracing::error!("the route table differed from the database's and is replaced");
            self.standing.drifted();
            self.anew.store(true, Ordering::Relaxed);
        }
        Ok(true)
    }
}
