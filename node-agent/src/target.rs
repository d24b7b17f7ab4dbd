//! The node's target: taken from the database, kept on disk, never replaced by an older one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use zeitwork_database::listen::{NODES, Signals};
use zeitwork_database::{Database, node_targets};
use zeitwork_model::generation::Position;
use zeitwork_protocol::READER;
use zeitwork_protocol::target::NodeTarget;
use zeitwork_runtime::lifecycle::{Lifecycle, chain};
use zeitwork_runtime::step;

use crate::disk;

/// The database is asked this often, whatever signals say.
const PERIOD: Duration = Duration::from_secs(1);

/// What becomes of a target that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It is worked on from now on.
    Taken,
    /// It is older than the one that is worked on, or the same.
    Outdated,
    /// Only a newer program can follow it.
    TooNew,
}

/// The last target, in memory and on disk. There it stays sealed, and builds are left out: they
/// need a lease, and so the database.
#[derive(Debug)]
pub struct Targets {
    path: PathBuf,
    current: watch::Sender<Option<Arc<NodeTarget>>>,
    /// The current one came from disk, without its builds: the same is taken once more.
    from_disk: AtomicBool,
    /// The current one could not be written to disk: an older one is there.
    unkept: AtomicBool,
}

impl Targets {
    /// The target that the file holds, if it holds one.
    #[must_use]
    pub fn load(path: PathBuf) -> Self {
        let kept = std::fs::read(&path).ok().and_then(|text| match serde_json::from_slice(&text) {
            Ok(target) => Some(Arc::new(target)),
            Err(error) => {
                tracing::error!(%error, path = %path.display(), "the kept target cannot be read");
                None
            }
        });
        Self {
            path,
            current: watch::channel(kept).0,
            from_disk: AtomicBool::new(true),
            unkept: AtomicBool::new(false),
        }
    }

    /// Whoever works on it.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<NodeTarget>>> {
        self.current.subscribe()
    }

    /// Where it is in the history.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.current.borrow().as_ref().map(|target| target.position)
    }

    /// Takes a target unless it is outdated.
    pub fn offer(&self, target: NodeTarget) -> Offer {
        if target.minimum_reader > READER {
            return Offer::TooNew;
        }
        let newest = self.position();
        let known = !self.from_disk.load(Ordering::Relaxed) && newest == Some(target.position);
        if known || newest.is_some_and(|at| at.refuses(target.position)) {
            return Offer::Outdated;
        }
        self.from_disk.store(false, Ordering::Relaxed);
        self.keep(&target);
        self.current.send_replace(Some(Arc::new(target)));
        Offer::Taken
    }

    fn keep(&self, target: &NodeTarget) {
        let kept = NodeTarget { builds: Vec::new(), ..target.clone() };
        let write = |text: Vec<u8>| disk::write(step!("target.keep"), &self.path, &text);
        let written = serde_json::to_vec(&kept).map_err(Into::into).and_then(write);
        let was_unkept = self.unkept.swap(written.is_err(), Ordering::Relaxed);
        if let (Err(error), false) = (written, was_unkept) {
            tracing::error!(%error, path = %self.path.display(), "the target cannot be kept");
        }
    }

    /// Looks on every signal and every second, until the daemon stops.
    pub async fn follow(self: Arc<Self>, database: Database, life: Lifecycle) {
        let mut signals = Signals::new(&database, &[NODES]);
        let mut was_away = false;
        loop {
            match self.look(&database).await {
                Ok(()) => was_away = false,
                Err(error) if was_away => tracing::debug!(error = chain(&error), "no target"),
                Err(error) => {
                    was_away = true;
                    tracing::warn!(error = chain(&error), "no target; the last one stands");
                }
            }
            tokio::select! {
                () = life.stopping() => return,
                () = signals.next() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    async fn look(&self, database: &Database) -> zeitwork_database::Result<()> {
        if self.unkept.load(Ordering::Relaxed) {
            let current = self.current.borrow().clone();
            if let Some(target) = current {
                self.keep(&target);
            }
        }
        let mut connection = database.acquire().await?;
        let seen = self.position().filter(|_| !self.from_disk.load(Ordering::Relaxed));
        if let Some(target) = node_targets::newer(&mut connection, seen).await? {
            let position = target.position;
            match self.offer(target) {
                Offer::Taken => tracing::debug!(?position, "a new target"),
                Offer::Outdated => {}
                Offer::TooNew => {
                    tracing::error!(?position, "only a newer agent can follow this target");
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
