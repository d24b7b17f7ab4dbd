//! Files that hold one key of 32 bytes as 64 hexadecimal characters, readable by their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::Error;

/// A key of 32 bytes that is wiped when dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// A new random key.
pub fn random() -> Key {
    let mut key = Key::default();
    rand::fill(key.as_mut_slice());
    key
}

/// The key in the file; made there (mode 0600) if there is none. When two processes start at
/// once, both get the key of the one that came first.
pub fn load_or_create(path: &Path) -> Result<Key, Error> {
    match load(path) {
        Err(Error::KeyFile { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            create(path).map_err(|source| Error::KeyFile { path: path.to_owned(), source })?;
            load(path)
        }
        other => other,
    }
}

/// The key in the file.
pub fn load(path: &Path) -> Result<Key, Error> {
    let failed = |source| Error::KeyFile { path: path.to_owned(), source };
    let unfit = |rule| Error::UnfitKeyFile { path: path.to_owned(), rule };
    let mut file = File::open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(unfit("is no plain file"));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(unfit("can be read by others: set its mode to 0600"));
    }
    let mut text = Zeroizing::new(String::new());
    (&mut file).take(256).read_to_string(&mut text).map_err(failed)?;
    let mut key = Key::default();
    hex::decode_to_slice(text.trim(), key.as_mut_slice())
        .map_err(|_| unfit("must hold 64 hexadecimal characters"))?;
    Ok(key)
}

/// Writes beside the file and links, which fails where somebody was first: a reader never sees
/// half a key, and no key is ever replaced.
fn create(path: &Path) -> io::Result<()> {
    let beside = beside(path);
    let text = Zeroizing::new(format!("{}\n", hex::encode(random().as_slice())));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match fs::hard_link(&beside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    fs::remove_file(&beside)?;
    linked
}

fn beside(path: &Path) -> PathBuf {
    let mut suffix = [0u8; 8];
    rand::fill(&mut suffix);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", hex::encode(suffix)));
    path.with_file_name(name)
}
