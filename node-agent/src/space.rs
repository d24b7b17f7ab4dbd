//! Room on the node's disks: measured, told, and made by policy. When little is left, no build
//! begins, the engine's build cache goes (the oldest first), and so do images that nothing lists.
//! What runs and what is listed is never touched.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use tokio::sync::watch;
use zeitwork_model::reason::Reason;
use zeitwork_runtime::failpoint::effect;
use zeitwork_runtime::lifecycle::Lifecycle;
use zeitwork_runtime::step;

use crate::build::bases::Pulled;
use crate::build::engine::{Engine, EngineError};

/// The node's problem where little room is left; the operator gives it no builds.
pub const DISK_LOW: &str = "disk_low";
/// Time between two looks at the disks.
const PERIOD: Duration = Duration::from_secs(2);
/// Time between two attempts to make room: the first may not have been enough.
const AGAIN: Duration = Duration::from_secs(5);
/// What was pulled for builds that have ended is looked through this often.
const SWEEP: Duration = Duration::from_mins(1);
/// Build cache that was not used for so many hours goes first; then more of it, then all.
const CACHE_HOURS: [u32; 3] = [24, 1, 0];
/// Files and directories that a checkout and an image of a large application need.
const LEAST_FILES: u64 = 20_000;
const MEGABYTE: u64 = 1_000_000;

/// Why a build may not begin on these file systems; none where there is room.
#[must_use]
pub fn lack(paths: &[&Path], floor: u64) -> Option<String> {
    paths.iter().find_map(|path| {
        // A path of another machine, or one that is not there yet, says nothing.
        let found = statvfs(*path).ok()?;
        let free = found.blocks_available() * found.fragment_size();
        if free < floor {
            let (free, floor) = (in_words(free), in_words(floor));
            return Some(format!("the node has {free} free; builds need {floor}"));
        }
        // Some file systems make room for files as they come, and say 0.
        let files = found.files_available();
        (found.files() > 0 && files < LEAST_FILES.min(floor))
            .then(|| format!("the node's disk takes {files} more files; builds need {LEAST_FILES}"))
    })
}

fn in_words(bytes: u64) -> String {
    if bytes < 1_000 * MEGABYTE {
        return format!("{} MB", bytes / MEGABYTE);
    }
    let tenths = bytes / (100 * MEGABYTE);
    match tenths % 10 {
        0 => format!("{} GB", tenths / 10),
        rest => format!("{}.{rest} GB", tenths / 10),
    }
}

/// Looks after the disks.
#[derive(Debug)]
pub struct Space {
    /// Whose data fills them.
    pub engine: Engine,
    /// Where checkouts are made.
    pub work_directory: PathBuf,
    /// Bytes that a build needs.
    pub floor: u64,
    /// Base images that were pulled for builds.
    pub pulled: Arc<Pulled>,
    /// Where what is missing is told.
    pub told: watch::Sender<Option<Reason>>,
}

impl Space {
    /// Looks until the daemon stops.
    pub async fn run(self, life: Lifecycle) {
        tokio::select! {
            () = life.stopping() => {}
            () = self.look_again_and_again() => {}
        }
    }

    async fn look_again_and_again(self) {
        let mut root = None::<PathBuf>;
        let (mut swept, mut pruned, mut stage) = (None::<Instant>, None::<Instant>, 0);
        loop {
            if root.is_none() {
                root = self.engine.info().await.ok().map(|info| info.docker_root_dir.into());
            }
            let paths: Vec<&Path> =
                root.iter().chain([&self.work_directory]).map(|p| &**p).collect();
            let lack = lack(&paths, self.floor);
            let is_low = lack.is_some();
            let reason = lack.map(|text| Reason::new(DISK_LOW, text));
            self.told.send_if_modified(|told| std::mem::replace(told, reason.clone()) != reason);
            if !is_low {
                stage = 0;
            } else if pruned.is_none_or(|time| time.elapsed() >= AGAIN) {
                pruned = Some(Instant::now());
                self.prune(CACHE_HOURS[stage]).await;
                stage = (stage + 1).min(CACHE_HOURS.len() - 1);
            }
            if is_low || swept.is_none_or(|time| time.elapsed() >= SWEEP) {
                swept = Some(Instant::now());
                self.pulled.sweep(&self.engine).await;
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// The cache has no labels: it is that of every build on this engine. What builds use stays.
    async fn prune(&self, hours: u32) {
        match effect(step!("space.prune"), self.engine.prune_cache(hours)).await {
            Ok(bytes) if bytes > 0 => {
                tracing::info!(bytes, unused_hours = hours, "build cache removed: little room");
            }
            Ok(_) | Err(EngineError::Away(_)) => {}
            Err(error) => tracing::warn!(%error, "build cache cannot be removed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_as_people_say_them() {
        let cases = [(0, "0 MB"), (999_999_999, "999 MB"), (1_250_000_000, "1.2 GB")];
        for (bytes, text) in cases.into_iter().chain([(2_000 * MEGABYTE, "2 GB")]) {
            assert_eq!(in_words(bytes), text);
        }
    }

    #[test]
    fn only_what_is_below_the_floor_lacks_room() {
        let here = [Path::new("/nonexistent"), Path::new("/")];
        assert_eq!(lack(&here, 1), None);
        let lack = lack(&here, u64::MAX).unwrap();
        assert!(
            lack.starts_with("the node has ") && lack.contains(" free; builds need "),
            "{lack}"
        );
    }
}
