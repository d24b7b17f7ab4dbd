//! Keeps the copy on disk at the table, and says which position is there: the edge acknowledges
//! no other, so that one that is killed after it starts from that position or a newer one.
//!
//! Changes are appended as they come; what comes while a write is under way goes with the next.
//! Where the changes have grown longer than the table, it is written anew beside them.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use zeitwork_model::generation::Position;
use zeitwork_runtime::lifecycle::chain;

use super::disk::record::{self, Batch, Entry};
use super::disk::{Disk, DiskError, Journal};
use super::standing::Standing;
use super::table::{Frozen, Host, Table, Unsaved, What};

/// Pause before a disk that refuses is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Takes the copy on disk as the first table, where there is one.
#[must_use]
pub fn warm_up(table: &Table, directory: &Path) -> Disk {
    let mut disk = Disk::new(directory);
    match disk.read() {
        Ok(copy) => {
            tracing::info!(routes = copy.routes.len(), "serving the route table on disk");
            table.replace(copy);
            // It came from there.
            drop(table.take_unsaved());
        }
        Err(DiskError::Missing) => {}
        Err(error) => {
            tracing::error!(error = chain(&error), "the route table on disk is not used");
        }
    }
    disk
}

/// The keeper.
#[derive(Debug)]
pub struct Keeper {
    table: Arc<Table>,
    disk: Arc<Mutex<Disk>>,
    standing: Arc<Standing>,
    kept: watch::Sender<Option<Position>>,
    fresh: Option<Fresh>,
    failed: bool,
}

/// The file anew, while it is written, and what must follow in it.
#[derive(Debug)]
struct Fresh {
    writing: JoinHandle<io::Result<Journal>>,
    changes: Vec<u8>,
}

/// What wakes the keeper.
enum Wake {
    Changed,
    Written(io::Result<Journal>),
    Over,
}

impl Keeper {
    /// Of a table that is as the copy on disk.
    #[must_use]
    pub fn new(table: Arc<Table>, disk: Disk, standing: Arc<Standing>) -> Self {
        let kept = watch::Sender::new(table.position());
        let disk = Arc::new(Mutex::new(disk));
        Self { table, disk, standing, kept, fresh: None, failed: false }
    }

    /// The position of which no start serves an older one, now and whenever it changes.
    #[must_use]
    pub fn kept(&self) -> watch::Receiver<Option<Position>> {
        self.kept.subscribe()
    }

    /// Keeps until `over`; then once more.
    pub async fn run(mut self, over: CancellationToken) {
        loop {
            match self.wake(&over).await {
                Wake::Changed => self.save().await,
                Wake::Written(written) => self.adopt(written).await,
                Wake::Over => return self.save().await,
            }
        }
    }

    async fn wake(&mut self, over: &CancellationToken) -> Wake {
        let Self { table, fresh, failed, .. } = self;
        let written = async {
            match fresh {
                Some(fresh) => joined((&mut fresh.writing).await),
                None => std::future::pending().await,
            }
        };
        let due = async { if *failed { sleep(RETRY).await } else { table.changed().await } };
        tokio::select! {
            biased;
            () = over.cancelled() => Wake::Over,
            written = written => Wake::Written(written),
            () = due => Wake::Changed,
        }
    }

    async fn save(&mut self) {
        let Some(Unsaved { position, what }) = self.table.take_unsaved() else { return };
        let saved = match what {
            What::Changes(changes) => self.append(position, changes).await,
            What::Table(table) => self.write(table).await,
        };
        match saved {
            Ok(()) => self.saved(position),
            Err(error) => self.refused(position, &error).await,
        }
    }

    async fn append(&mut self, position: Position, changes: Vec<Host>) -> io::Result<()> {
        let lines = lines(position, changes)?;
        if let Some(fresh) = &mut self.fresh {
            fresh.changes.extend_from_slice(&lines);
        }
        let appended = self.on_disk(move |disk| {
            disk.append(&lines)?;
            Ok(disk.is_long())
        });
        let is_long = match appended.await {
            Ok(is_long) => is_long,
            Err(error) => {
                tracing::warn!(%error, "a change cannot be appended; writing the table anew");
                let Some(table) = self.table.freeze() else { return Ok(()) };
                return self.write(table).await;
            }
        };
        if is_long
            && self.fresh.is_none()
            && let Some(table) = self.table.freeze()
        {
            let path = self.beside();
            let writing = spawn_blocking(move || Journal::write(&path, &table));
            self.fresh = Some(Fresh { writing, changes: Vec::new() });
        }
        Ok(())
    }

    /// Writes the whole table at once.
    async fn write(&mut self, table: Frozen) -> io::Result<()> {
        // Two must not write to one file.
        if let Some(fresh) = self.fresh.take() {
            drop(fresh.writing.await);
        }
        let path = self.beside();
        self.on_disk(move |disk| disk.adopt(Journal::write(&path, &table)?, &[])).await
    }

    async fn adopt(&mut self, written: io::Result<Journal>) {
        let Some(fresh) = self.fresh.take() else { return };
        let adopted = match written {
            Ok(journal) => self.on_disk(move |disk| disk.adopt(journal, &fresh.changes)).await,
            // The old file holds all.
            Err(error) => {
                tracing::warn!(%error, "the route table cannot be written anew");
                return;
            }
        };
        if let Err(error) = adopted {
            tracing::warn!(%error, "the route table cannot be put in place");
            self.table.unsave();
        }
    }

    fn saved(&mut self, position: Position) {
        self.failed = false;
        if self.standing.saved(None) {
            tracing::info!("the route table is on disk again");
        }
        self.kept.send_replace(Some(position));
    }

    /// Rather no copy than an old one: with it a start would send requests to instances that
    /// the acknowledgement has let go.
    async fn refused(&mut self, position: Position, error: &io::Error) {
        self.failed = true;
        if self.standing.saved(Some(&error.to_string())) {
            tracing::error!(%error, "the route table cannot be kept on disk");
        }
        match self.on_disk(Disk::forget).await {
            Ok(()) => {
                self.kept.send_replace(Some(position));
            }
            Err(error) => tracing::error!(%error, "an old route table is still on disk"),
        }
        self.table.unsave();
    }

    fn beside(&self) -> std::path::PathBuf {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).beside()
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Disk) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let disk = self.disk.clone();
        let work = move || work(&mut disk.lock().unwrap_or_else(PoisonError::into_inner));
        joined(spawn_blocking(work).await)
    }
}

fn lines(position: Position, changes: Vec<Host>) -> io::Result<Vec<u8>> {
    let entry = |(host, site): Host| Entry { host, route: site.and_then(|site| site.route()) };
    let changes = changes.into_iter().map(entry).collect();
    let mut lines = Vec::new();
    record::write(&mut lines, &Batch { position, changes })?;
    Ok(lines)
}

fn joined<T>(ended: Result<io::Result<T>, tokio::task::JoinError>) -> io::Result<T> {
    ended.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests;
