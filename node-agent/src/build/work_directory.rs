//! The directory of one build: made empty, and removed whatever happens.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::git::{GitUser, give};

/// A killed process may still write for a moment.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// A directory that is gone when this is.
#[derive(Debug)]
pub struct WorkDirectory(PathBuf);

impl WorkDirectory {
    /// Makes it, for one user alone; what an earlier life of the agent left there is removed.
    ///
    /// # Errors
    /// Of the file system.
    pub fn create(parent: &Path, name: &str, user: Option<GitUser>) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::create_dir_all(parent)?;
        let path = parent.join(name);
        if path.symlink_metadata().is_ok() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        let directory = Self(path);
        give(&directory.0, user)?;
        Ok(directory)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it.
    pub async fn remove(self) {
        for _ in 0..TRIES {
            let path = self.0.clone();
            let removed = tokio::task::spawn_blocking(move || remove(&path)).await;
            if matches!(removed, Ok(Ok(()))) {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Drop for WorkDirectory {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "a checkout was not removed");
        }
    }
}

/// Ends and removes what an earlier life of the agent left: checkouts, and git processes that
/// still work in them. To be called before the first build of this life.
///
/// # Errors
/// Of the file system.
pub fn clear(parent: &Path) -> io::Result<()> {
    let Ok(parent) = parent.canonicalize() else { return Ok(()) };
    for process in std::fs::read_dir("/proc")?.flatten() {
        let id = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let works_here = std::fs::read_link(process.path().join("cwd"))
            .is_ok_and(|directory| directory.starts_with(&parent));
        if let (Some(id), true) = (id, works_here) {
            // Already gone is as good.
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
    for entry in std::fs::read_dir(&parent)?.flatten() {
        remove(&entry.path())?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
