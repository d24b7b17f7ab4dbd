//! Files that only this agent may read, replaced whole or not at all.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use zeitwork_runtime::failpoint::{Step, effect_at_once};

/// Replaces the file atomically, mode 0600; after a power cut it is the old one or the new one.
///
/// # Errors
/// As the system says; the old content stands then.
pub fn write(step: Step, path: &Path, content: &[u8]) -> std::io::Result<()> {
    effect_at_once(step, || replace(path, content))
}

fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    let written = write_partial(&partial, content).and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // On a full disk it would keep the little room that there is.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

fn write_partial(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
