//! The directory of a backup: files, and a manifest with the checksum of each.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeitwork_runtime::Clock;

use crate::supervise::home::{Account, write_secret};

/// `pg_dump`'s own format.
pub const DATABASE: &str = "database.dump";
/// Opens every project's data key.
pub const MASTER_KEY: &str = "master.key";
/// Opens what is sealed to the node of this host.
pub const NODE_KEY: &str = "node.key";
/// The owner's API key.
pub const OWNER_KEY: &str = "owner.key";
const MANIFEST: &str = "manifest.json";
/// Of the directory's layout.
const FORMAT: u32 = 1;

/// What a backup is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the layout.
    pub format: u32,
    /// When it was begun.
    pub made_at: String,
    /// Of the program that made it.
    pub version: String,
    /// Whose it is.
    pub installation: String,
    /// How many migrations its database has.
    pub migrations: usize,
    /// SHA-256 of each file.
    pub files: BTreeMap<String, String>,
}

/// A backup that is being made: it gets its name when it is whole.
pub struct Draft {
    made_at: String,
    unfinished: PathBuf,
    directory: PathBuf,
}

impl Draft {
    /// Makes the directory, for its owner alone.
    pub fn begin(directory: &Path) -> Result<Self> {
        if directory.exists() {
            bail!("{} exists: name a new directory for each backup", directory.display());
        }
        let directory = std::path::absolute(directory)?;
        let name = directory.file_name().context("name a directory for the backup")?;
        let mut name = name.to_owned();
        name.push(".draft");
        let draft = directory.with_file_name(name);
        if draft.exists() {
            // Of one that was interrupted.
            fs::remove_dir_all(&draft)?;
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&draft);
        made.with_context(|| draft.display().to_string())?;
        let now = Clock::system().now();
        let made_at = now.format(&time::format_description::well_known::Rfc3339)?;
        Ok(Self { made_at, unfinished: draft, directory })
    }

    /// Where a file goes.
    pub fn path(&self, name: &str) -> PathBuf {
        self.unfinished.join(name)
    }

    /// Copies a key.
    pub fn write_key(&self, name: &str, key: &SecretString) -> Result<()> {
        write_secret(&self.path(name), key, Account::Own)
    }

    /// Writes the manifest; from now on the backup is there.
    pub fn finish(self, installation: &str, migrations: usize) -> Result<Manifest> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.unfinished)? {
            let path = entry?.path();
            File::open(&path)?.sync_all()?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(name, checksum(&path)?);
        }
        let manifest = Manifest {
            format: FORMAT,
            made_at: self.made_at,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            installation: installation.to_owned(),
            migrations,
            files,
        };
        let path = self.unfinished.join(MANIFEST);
        fs::write(&path, serde_json::to_vec_pretty(&manifest)?)?;
        File::open(&path)?.sync_all()?;
        fs::rename(&self.unfinished, &self.directory)?;
        if let Some(parent) = self.directory.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(manifest)
    }
}

/// A backup whose files are as they were written.
pub struct Archive {
    directory: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
}

impl Archive {
    /// Reads the manifest and compares every file with it.
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(MANIFEST);
        let text = fs::read_to_string(&path).with_context(|| {
            format!("{} is no backup ({})", directory.display(), path.display())
        })?;
        let manifest: Manifest =
            serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        if manifest.format != FORMAT {
            bail!("this backup has format {}: use the release that made it", manifest.format);
        }
        for name in [DATABASE, MASTER_KEY] {
            if !manifest.files.contains_key(name) {
                bail!("the backup lacks {name}");
            }
        }
        for (name, expected) in &manifest.files {
            let path = directory.join(name);
            let found = checksum(&path).with_context(|| path.display().to_string())?;
            if found != *expected {
                bail!("{} is not as it was written: use another backup", path.display());
            }
        }
        Ok(Self { directory: directory.to_owned(), manifest })
    }

    /// The dump of the database.
    pub fn database(&self) -> PathBuf {
        self.directory.join(DATABASE)
    }

    /// A key of it, where it has that.
    pub fn key(&self, name: &str) -> Result<Option<SecretString>> {
        if !self.manifest.files.contains_key(name) {
            return Ok(None);
        }
        let path = self.directory.join(name);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Some(text.into()))
    }

    /// Where a key of it is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// A key without the line end of its file.
pub fn text_of(key: &SecretString) -> &str {
    key.expose_secret().trim()
}

fn checksum(path: &Path) -> Result<String> {
    let mut file = File::open(path)?;
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(buffer.get(..read).unwrap_or_default());
    }
}
