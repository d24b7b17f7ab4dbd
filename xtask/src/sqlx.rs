//! The query data in `shared/database/.sqlx`: what PostgreSQL answers about each checked query.
//!
//! With it every build needs no database. It is made by compiling the crate against a private
//! PostgreSQL with all migrations: sqlx's macros write one file for each query into
//! `SQLX_OFFLINE_DIR` (they look for them there, then beside the crate's manifest, then at the
//! root). Whether a compilation is needed at all is remembered in `target/xtask`.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::postgres::Postgres;
use crate::{command, sources};

#[cfg(test)]
mod tests;

const DATA: &str = "shared/database/.sqlx";
const CRATE_ROOT: &str = "shared/database/src/lib.rs";
const MIGRATIONS: &str = "migrations";
const STAMP: &str = "target/xtask/sqlx.stamp";
/// More differences than these tell a person nothing new.
const SHOWN: usize = 10;

/// File name and content of each query.
type QueryData = BTreeMap<String, Vec<u8>>;

/// Writes the data anew.
pub fn regenerate(root: &Path) -> anyhow::Result<()> {
    let fresh = compile_live(root, &mut check(root))?;
    write(&root.join(DATA), &fresh)?;
    println!("sqlx: {} queries", fresh.len());
    remember(root)
}

/// Fails unless the committed data is what the migrations and queries give.
pub fn verify(root: &Path) -> anyhow::Result<()> {
    verify_with(root, &mut check(root))
}

/// The same, with a compilation that is wanted anyway (`cargo` must cover the crate with its
/// tests). It runs in any case: without a database where nothing has changed since last time.
pub fn verify_with(root: &Path, cargo: &mut Command) -> anyhow::Result<()> {
    if fs::read_to_string(root.join(STAMP))
        .is_ok_and(|stamp| inputs(root).is_ok_and(|now| stamp == now))
    {
        return command::run(cargo.env("SQLX_OFFLINE", "true").env_remove("DATABASE_URL"));
    }
    let fresh = compile_live(root, cargo)?;
    let mut faults = differences(&read(&root.join(DATA))?, &fresh);
    let more = faults.len().saturating_sub(SHOWN);
    if more > 0 {
        faults.truncate(SHOWN);
        faults.push(format!("and {more} more"));
    }
    println!("sqlx: {} queries", fresh.len());
    if !faults.is_empty() {
        bail!("{DATA} is not current, run `cargo xtask sqlx`:\n  {}", faults.join("\n  "));
    }
    remember(root)
}

fn check(root: &Path) -> Command {
    let mut cargo = command::cargo(root);
    // The whole workspace, although one crate is meant: alone it would be built with other
    // features, and everything below it once more.
    cargo.args(["check", "--quiet", "--workspace", "--all-targets"]);
    cargo
}

/// Compiles with the macros asking a real server, and gives what they wrote.
fn compile_live(root: &Path, cargo: &mut Command) -> anyhow::Result<QueryData> {
    let postgres = Postgres::start()?;
    for migration in migrations(root) {
        postgres.apply(&migration)?;
    }
    let written = TempDir::new()?;
    cargo.env("DATABASE_URL", postgres.url()).env("SQLX_OFFLINE", "false");
    cargo.env("SQLX_OFFLINE_DIR", written.path());
    let touched = Touched::new(&root.join(CRATE_ROOT))?;
    command::run(cargo)?;
    drop(touched);
    read(written.path())
}

/// Migrations in the order of their numbers.
fn migrations(root: &Path) -> Vec<PathBuf> {
    let directory = root.join(MIGRATIONS);
    let files = sources::with_extension(&directory, "sql").unwrap_or_default();
    files.into_iter().map(|file| directory.join(file.path)).collect()
}

fn read(directory: &Path) -> anyhow::Result<QueryData> {
    let mut data = QueryData::new();
    if directory.exists() {
        for source in sources::with_extension(directory, "json")? {
            data.insert(source.path, source.text.into_bytes());
        }
    }
    Ok(data)
}

fn write(directory: &Path, data: &QueryData) -> anyhow::Result<()> {
    fs::create_dir_all(directory)?;
    for stale in read(directory)?.keys().filter(|name| !data.contains_key(*name)) {
        fs::remove_file(directory.join(stale))?;
    }
    for (name, content) in data {
        fs::write(directory.join(name), content)?;
    }
    Ok(())
}

fn differences(committed: &QueryData, fresh: &QueryData) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, content) in fresh {
        match committed.get(name) {
            None => faults.push(format!("missing: {}", query_of(content))),
            Some(old) if old != content => faults.push(format!("changed: {}", query_of(content))),
            Some(_) => {}
        }
    }
    for (name, content) in committed {
        if !fresh.contains_key(name) {
            faults.push(format!("no longer used: {}", query_of(content)));
        }
    }
    faults
}

/// The statement, shortened, for a person to find it.
fn query_of(content: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(content).unwrap_or_default();
    let query = value.get("query").and_then(serde_json::Value::as_str).unwrap_or("?");
    let words: Vec<&str> = query.split_whitespace().collect();
    words.join(" ").chars().take(80).collect()
}

/// What decides about the data: migrations, sources of the crate, versions, and itself.
fn inputs(root: &Path) -> anyhow::Result<String> {
    let mut hasher = DefaultHasher::new();
    for (directory, extension) in [(MIGRATIONS, "sql"), ("shared/database", "rs"), (DATA, "json")] {
        for source in sources::with_extension(&root.join(directory), extension).unwrap_or_default()
        {
            (directory, source.path, source.text).hash(&mut hasher);
        }
    }
    fs::read(root.join("Cargo.lock"))?.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

fn remember(root: &Path) -> anyhow::Result<()> {
    let stamp = root.join(STAMP);
    fs::create_dir_all(stamp.parent().context("the stamp has no directory")?)?;
    Ok(fs::write(stamp, inputs(root)?)?)
}

/// A file that looks changed, so that cargo compiles it again; dropping this gives it its old
/// time back, so that other builds do not compile it once more.
struct Touched {
    file: File,
    modified: SystemTime,
}

impl Touched {
    fn new(path: &Path) -> anyhow::Result<Self> {
        let file =
            File::options().append(true).open(path).with_context(|| path.display().to_string())?;
        let modified = file.metadata()?.modified()?;
        #[expect(clippy::disallowed_methods, reason = "a file's time, which no test has to set")]
        file.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
        Ok(Self { file, modified })
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        drop(self.file.set_times(FileTimes::new().set_modified(self.modified)));
    }
}
