//! The table's copy on disk: what a cold start serves while the database is away.
//!
//! One file of lines, mode 0600: the whole table at one position, then what changed since, a line
//! for each step. A crash at any byte leaves a table that once was: a whole file is written beside
//! the old one and renamed over it, and a last line that is not whole is cut off. Whatever a call
//! has reported as written is on disk. Calls block; callers are on a blocking thread.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use zeitwork_model::generation::Position;
use zeitwork_protocol::edge::RouteTable;
use zeitwork_protocol::{READER, VERSION};

use super::table::Frozen;
use record::{Base, Batch, Entry};

pub mod record;

/// Changes of less than this are not worth writing the file anew.
const SHORT: u64 = 1024 * 1024;
const BUFFER: usize = 256 * 1024;

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
    Damaged,
    /// A newer edge wrote it.
    #[error("the copy of the route table needs reader {needed}, this is {READER}")]
    TooNew {
        /// The reader that it needs.
        needed: u32,
    },
}

/// The copy.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    /// The file, where changes may be appended to it.
    open: Option<Journal>,
}

/// A file that ends with a whole line.
#[derive(Debug)]
pub struct Journal {
    file: File,
    /// Bytes of the table that it begins with.
    base: u64,
    /// Bytes of the changes behind it.
    changes: u64,
}

impl Disk {
    /// The copy in a directory, which exists.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join("routes.journal"), open: None }
    }

    /// Where the next whole file is written.
    #[must_use]
    pub fn beside(&self) -> PathBuf {
        self.path.with_extension("new")
    }

    /// Reads the copy; changes may be appended afterwards.
    ///
    /// # Errors
    /// Each says why there is nothing to serve.
    pub fn read(&mut self) -> Result<RouteTable, DiskError> {
        let file = OpenOptions::new().read(true).write(true).open(&self.path);
        let mut file = file.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => DiskError::Missing,
            _ => DiskError::Io(error),
        })?;
        let (table, base, changes) = read_all(&file)?;
        let (length, end) = (file.metadata()?.len(), base + changes);
        if length > end {
            tracing::warn!(bytes = length - end, "the last write to disk was not finished");
            file.set_len(end)?;
        }
        file.seek(SeekFrom::Start(end))?;
        self.open = Some(Journal { file, base, changes });
        Ok(table)
    }

    /// Appends what changed.
    ///
    /// # Errors
    /// When the system refuses; the file must then be written anew.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let journal = self.open.take();
        let mut journal = journal.ok_or_else(|| io::Error::other("there is no file yet"))?;
        journal.append(lines)?;
        self.open = Some(journal);
        Ok(())
    }

    /// Whether the changes have become longer than the table that they change.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.changes > open.base.max(SHORT))
    }

    /// Puts a file that was written beside in place of the old one, with what changed meanwhile.
    ///
    /// # Errors
    /// When the system refuses; the old file is then still there.
    pub fn adopt(&mut self, mut fresh: Journal, changes: &[u8]) -> io::Result<()> {
        if !changes.is_empty() {
            fresh.append(changes)?;
        }
        fs::rename(self.beside(), &self.path)?;
        self.open = Some(fresh);
        self.sync_directory()
    }

    /// Removes the copy: a start without one waits for the database, one with an outdated one
    /// would send requests to instances that are gone.
    ///
    /// # Errors
    /// When the system refuses; then the old copy may still be there.
    pub fn forget(&mut self) -> io::Result<()> {
        self.open = None;
        for path in [self.beside(), self.path.clone()] {
            remove(&path)?;
        }
        self.sync_directory()
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
    }
}

impl Journal {
    /// Writes a whole table to a new file.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(path: &Path, table: &Frozen) -> io::Result<Self> {
        // One left by a crash may have another mode.
        remove(path)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let mut writer = BufWriter::with_capacity(BUFFER, file);
        let position = table.position;
        let base = Base { version: VERSION, minimum_reader: 1, position, routes: table.hosts() };
        record::write(&mut writer, &base)?;
        for (host, route) in table.routes() {
            record::write(&mut writer, &Entry { host: host.to_owned(), route: Some(route) })?;
        }
        let mut file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let base = file.stream_position()?;
        Ok(Self { file, base, changes: 0 })
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)?;
        self.file.sync_data()?;
        self.changes += lines.len() as u64;
        Ok(())
    }
}

/// The table, the bytes that it begins with, and those of the changes that count.
fn read_all(file: &File) -> Result<(RouteTable, u64, u64), DiskError> {
    let (mut input, mut line) = (BufReader::with_capacity(BUFFER, file), Vec::new());
    let first = record::read::<Base>(&mut input, &mut line)?;
    let (base, mut length) = first.ok_or(DiskError::Damaged)?;
    if base.minimum_reader > READER {
        return Err(DiskError::TooNew { needed: base.minimum_reader });
    }
    let Base { version, minimum_reader, position, routes: count } = base;
    let routes = BTreeMap::new();
    let mut table = RouteTable { version, minimum_reader, position, routes };
    for _ in 0..count {
        let next = record::read::<Entry>(&mut input, &mut line)?;
        let (entry, bytes) = next.ok_or(DiskError::Damaged)?;
        length += bytes;
        put(&mut table, entry);
    }
    let mut changes = 0;
    while let Some((batch, bytes)) = record::read::<Batch>(&mut input, &mut line)? {
        changes += bytes;
        // One that the table already holds was appended while the table was written.
        if is_after(batch.position, table.position) {
            table.position = batch.position;
            batch.changes.into_iter().for_each(|entry| put(&mut table, entry));
        }
    }
    Ok((table, length, changes))
}

fn is_after(next: Position, present: Position) -> bool {
    next.epoch == present.epoch && next.generation > present.generation
}

fn put(table: &mut RouteTable, entry: Entry) {
    match entry.route {
        Some(route) => table.routes.insert(entry.host, route),
        None => table.routes.remove(&entry.host),
    };
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
