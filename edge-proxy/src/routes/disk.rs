//! The table's copy on disk: what a cold start serves while the database is away.
//!
//! Written whole beside the old copy and renamed over it, mode 0600, so that a crash leaves the
//! old one or the new one. Calls block; callers are on a blocking thread.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use zeitwork_protocol::READER;
use zeitwork_protocol::edge::RouteTable;

/// Why there is no copy to serve.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// There is none yet.
    #[error("there is no copy of the route table")]
    Missing,
    /// The system refuses.
    #[error("cannot read or write the copy of the route table")]
    Io(#[from] io::Error),
    /// It is damaged: cut off, or not ours.
    #[error("the copy of the route table is damaged")]
    Damaged(#[source] serde_json::Error),
    /// A newer edge wrote it.
    #[error("the copy of the route table needs reader {needed}, this is {READER}")]
    TooNew {
        /// The reader that it needs.
        needed: u32,
    },
}

/// Where the copy is.
#[derive(Debug, Clone)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// The copy in a directory, which exists.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join("routes.json") }
    }

    /// Reads the copy.
    ///
    /// # Errors
    /// Each says why there is nothing to serve.
    pub fn read(&self) -> Result<RouteTable, DiskError> {
        let file = File::open(&self.path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => DiskError::Missing,
            _ => DiskError::Io(error),
        })?;
        let table: RouteTable =
            serde_json::from_reader(BufReader::new(file)).map_err(DiskError::Damaged)?;
        if table.minimum_reader > READER {
            return Err(DiskError::TooNew { needed: table.minimum_reader });
        }
        Ok(table)
    }

    /// Writes the copy.
    ///
    /// # Errors
    /// When the system refuses; the old copy is then still there.
    pub fn write(&self, table: &RouteTable) -> Result<(), DiskError> {
        let beside = self.path.with_extension("new");
        // One left by a crash may have another mode.
        if let Err(error) = fs::remove_file(&beside)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        let mut writer = BufWriter::new(file);
        serde_json::to_writer(&mut writer, table).map_err(io::Error::from)?;
        writer.flush()?;
        writer.get_ref().sync_all()?;
        fs::rename(&beside, &self.path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
