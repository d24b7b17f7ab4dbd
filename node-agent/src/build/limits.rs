//! Limits that hold for builds. BuildKit in Docker Engine ignores the limits of a build request,
//! so they are written into the control groups of its steps: the engine describes each step in a
//! file (an OCI `config.json` with environment and `cgroupsPath`) before it starts it, and the
//! group is made there, with its limits, before a process is in it.
//!
//! Each step is held at the build's limit by the kernel. Steps that run beside each other share
//! it: CPU is divided, and a build whose steps use more memory together is ended. Groups of
//! other builds on the same engine are never touched.
//!
//! A build whose limits cannot be written does not run, and is ended where that happens later.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use zeitwork_model::environment::Limits;

use super::engine::Info;

/// How often new steps are looked for: well below the time from the description of a step to
/// its first process (some 30 ms).
const LOOK: Duration = Duration::from_millis(10);
/// The period of a CPU quota in microseconds (the kernel's default).
const PERIOD_US: u64 = 100_000;
/// Processes and threads of one step at most.
const MAXIMUM_PIDS: u64 = 8_192;
const MEBIBYTE: u64 = 1024 * 1024;
/// Looks in a row at which a step's limits could not be written, until the build is ended: a step
/// that has just ended takes its group along, and is gone at the next looks.
const UNWRITTEN_LOOKS: u32 = 10;

/// The control groups of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    root: PathBuf,
    unified: bool,
}

/// One build's limits.
#[derive(Debug)]
pub struct Limiter {
    groups: Groups,
    /// Where the engine describes its steps.
    executor: PathBuf,
    marker: String,
    limits: Limits,
    out_of_memory: AtomicBool,
    steps: Mutex<Steps>,
}

/// Why a build must not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// Its steps use more memory together than it may.
    Memory,
    /// The limits of a step cannot be written.
    Unwritten,
}

/// The engine's running steps, by the name of their directory.
#[derive(Debug, Default)]
struct Steps {
    ours: HashMap<String, PathBuf>,
    others: HashSet<String>,
    /// Looks in a row at which not all limits were written.
    unwritten: u32,
}

/// What is read of a step's description.
#[derive(Deserialize)]
struct Description {
    process: Process,
    linux: Linux,
}

#[derive(Deserialize)]
struct Process {
    #[serde(default)]
    env: Vec<String>,
}

#[derive(Deserialize)]
struct Linux {
    #[serde(rename = "cgroupsPath")]
    group: String,
}

impl Limiter {
    /// Limits for the steps whose environment holds the marker. `root` is `/sys/fs/cgroup` on
    /// every real host.
    #[must_use]
    pub fn new(root: &Path, info: &Info, marker: &str, limits: Limits) -> Self {
        Self {
            groups: Groups { root: root.to_owned(), unified: info.cgroup_version == "2" },
            executor: Path::new(&info.docker_root_dir).join("buildkit/executor"),
            marker: marker.to_owned(),
            limits,
            out_of_memory: AtomicBool::new(false),
            steps: Mutex::default(),
        }
    }

    /// Whether steps can be seen, and groups be made and limited as theirs will be.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self) -> io::Result<()> {
        let at = |path: &Path, error: &io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        };
        fs::read_dir(&self.executor).map_err(|error| at(&self.executor, &error))?;
        let memory = self.groups.hierarchy("memory");
        fs::metadata(memory.join("cgroup.procs")).map_err(|error| at(&memory, &error))?;
        let probe = PathBuf::from(format!("zeitwork-probe-{}", self.marker));
        let limited = self.limit(&probe, 1);
        self.groups.forget(&probe);
        limited.map_err(|error| at(&memory.join(probe), &error))
    }

    /// Whether a step was killed for lack of memory, or all together used too much.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.out_of_memory.load(Ordering::Relaxed)
    }

    /// Keeps every step within the limits; ends when the build has to.
    pub async fn keep(&self) -> Breach {
        loop {
            if let Some(breach) = self.look() {
                return breach;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Looks at all steps, and whether the build has to end.
    fn look(&self) -> Option<Breach> {
        let Ok(entries) = fs::read_dir(&self.executor) else { return None };
        let present: HashSet<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let before = steps.ours.len();
        steps.others.retain(|name| present.contains(name));
        steps.ours.retain(|name, group| present.contains(name) || self.groups.forget(group));
        let mut changed = steps.ours.len() != before;
        for group in steps.ours.values_mut() {
            if let Some(scope) = scope(group).filter(|scope| self.groups.has(scope)) {
                self.groups.forget(group);
                *group = scope;
                changed = true;
            }
        }
        for name in present {
            if steps.ours.contains_key(&name) || steps.others.contains(&name) {
                continue;
            }
            match self.describe(&name) {
                Some(Some(group)) => {
                    changed = true;
                    steps.ours.insert(name, group);
                }
                Some(None) => drop(steps.others.insert(name)),
                // Not written to its end yet.
                None => {}
            }
        }
        if changed || steps.unwritten > 0 {
            steps.unwritten = if self.write(&steps) { 0 } else { steps.unwritten + 1 };
        }
        if steps.unwritten >= UNWRITTEN_LOOKS {
            return Some(Breach::Unwritten);
        }
        self.is_exceeded(&steps).then_some(Breach::Memory)
    }

    /// The group of a step: none of ours, or not known yet.
    #[allow(clippy::option_option, reason = "three answers: ours, another's, not known yet")]
    fn describe(&self, name: &str) -> Option<Option<PathBuf>> {
        let text = match fs::read(self.executor.join(name).join("config.json")) {
            Ok(text) => text,
            // Plain files of the engine's own lie beside the steps.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Some(None),
            Err(_) => return None,
        };
        let description: Description = serde_json::from_slice(&text).ok()?;
        let is_ours = description.process.env.iter().any(|entry| entry.contains(&self.marker));
        let group = PathBuf::from(description.linux.group.trim_start_matches('/'));
        Some(is_ours.then_some(group))
    }

    /// Writes the limits of every step; whether all were written.
    fn write(&self, steps: &Steps) -> bool {
        let together = u64::try_from(steps.ours.len()).unwrap_or(1).max(1);
        let mut written = true;
        for group in steps.ours.values() {
            if let Err(error) = self.limit(group, together) {
                written = false;
                tracing::warn!(%error, group = %group.display(), "a build step's limits were not written");
            }
        }
        written
    }

    /// Limits one of so many groups that share the build's CPU.
    fn limit(&self, group: &Path, together: u64) -> io::Result<()> {
        let cpu = u64::from(self.limits.cpu_millis) / together;
        self.groups.limit(group, cpu, self.limits.memory_mb.into())
    }

    fn is_exceeded(&self, steps: &Steps) -> bool {
        if steps.ours.values().any(|group| self.groups.kills(group) > 0) {
            self.out_of_memory.store(true, Ordering::Relaxed);
        }
        if steps.ours.len() < 2 {
            return false;
        }
        let used: u64 = steps.ours.values().map(|group| self.groups.used(group)).sum();
        let exceeded = used > u64::from(self.limits.memory_mb) * MEBIBYTE;
        if exceeded {
            self.out_of_memory.store(true, Ordering::Relaxed);
        }
        exceeded
    }
}

/// Where systemd puts `slice:prefix:name`, if the engine leaves it to systemd; the group is then
/// made by systemd. An engine that writes the groups itself takes the text for a plain path.
fn scope(group: &Path) -> Option<PathBuf> {
    let mut parts = group.to_str()?.split(':');
    let (slice, prefix, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Path::new(slice).join(format!("{prefix}-{name}.scope")))
}

impl Drop for Limiter {
    fn drop(&mut self) {
        let steps = self.steps.get_mut().unwrap_or_else(PoisonError::into_inner);
        for group in steps.ours.values() {
            self.groups.forget(group);
        }
    }
}

impl Groups {
    fn hierarchy(&self, controller: &str) -> PathBuf {
        if self.unified { self.root.clone() } else { self.root.join(controller) }
    }

    fn group(&self, controller: &str, group: &Path) -> PathBuf {
        self.hierarchy(controller).join(group)
    }

    /// Makes the group and writes its limits: thousandths of a core, mebibytes.
    fn limit(&self, group: &Path, cpu_millis: u64, memory_mb: u64) -> io::Result<()> {
        self.make(group)?;
        let quota = (cpu_millis * PERIOD_US / 1_000).max(1_000);
        let bytes = (memory_mb * MEBIBYTE).to_string();
        let memory = self.group("memory", group);
        let cpu = self.group("cpu", group);
        // Where the controller is missing, a fork bomb still dies at the memory limit.
        let _ = fs::write(self.group("pids", group).join("pids.max"), MAXIMUM_PIDS.to_string());
        if self.unified {
            fs::write(cpu.join("cpu.max"), format!("{quota} {PERIOD_US}"))?;
            // Hosts without swap do not have the file.
            let _ = fs::write(memory.join("memory.swap.max"), "0");
            return fs::write(memory.join("memory.max"), bytes);
        }
        fs::write(cpu.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
        fs::write(cpu.join("cpu.cfs_quota_us"), quota.to_string())?;
        fs::write(memory.join("memory.limit_in_bytes"), &bytes)?;
        // Memory and swap together; not there where the kernel does not count swap.
        let _ = fs::write(memory.join("memory.memsw.limit_in_bytes"), &bytes);
        Ok(())
    }

    fn make(&self, group: &Path) -> io::Result<()> {
        if !self.unified {
            let _ = fs::create_dir_all(self.group("pids", group));
            fs::create_dir_all(self.group("cpu", group))?;
            return fs::create_dir_all(self.group("memory", group));
        }
        let mut path = self.root.clone();
        for part in group {
            for controller in ["+memory", "+cpu", "+pids"] {
                // Refused where it is on already and processes live; then it need not be.
                let _ = fs::write(path.join("cgroup.subtree_control"), controller);
            }
            path.push(part);
            fs::create_dir_all(&path)?;
        }
        Ok(())
    }

    fn has(&self, group: &Path) -> bool {
        self.group("memory", group).is_dir()
    }

    /// Removes the group of a step that has ended, where the engine has not; answers false, for
    /// `retain`. The kernel refuses while a process is left in it.
    fn forget(&self, group: &Path) -> bool {
        for controller in ["memory", "cpu", "pids"] {
            let _ = fs::remove_dir(self.group(controller, group));
        }
        false
    }

    /// How often the kernel killed for lack of memory in a group.
    fn kills(&self, group: &Path) -> u64 {
        let name = if self.unified { "memory.events" } else { "memory.oom_control" };
        self.number(group, name, "oom_kill ")
    }

    /// Bytes in use that the kernel could not simply drop.
    fn used(&self, group: &Path) -> u64 {
        if self.unified {
            return self.number(group, "memory.stat", "anon ")
                + self.number(group, "memory.stat", "shmem ");
        }
        self.number(group, "memory.stat", "rss ") + self.number(group, "memory.stat", "shmem ")
    }

    fn number(&self, group: &Path, file: &str, field: &str) -> u64 {
        let text = fs::read_to_string(self.group("memory", group).join(file)).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|number| number.trim().parse().ok())
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
