//! What a container uses, from its control group: version 1 (one hierarchy for each controller)
//! and version 2 (one for all), as Documentation/admin-guide/cgroup-v{1,2} of the kernel say. Tests compare version 1 with
//! the engine's own figures where the host has it; version 2 only with files written by hand.

use std::path::{Path, PathBuf};

/// Where control groups are mounted on every distribution of today.
const MOUNT: &str = "/sys/fs/cgroup";

/// Figures of one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// CPU time since its start, in microseconds.
    pub cpu_us: u64,
    /// Memory without the page cache that the kernel would give back at once.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u32,
}

/// The figures of the container that the process is in.
#[must_use]
pub fn read(pid: i32) -> Option<Figures> {
    if pid <= 0 {
        return None;
    }
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    read_groups(Path::new(MOUNT), &groups)
}

/// The figures by the text of `/proc/<pid>/cgroup`, below a mount point.
#[must_use]
pub fn read_groups(mount: &Path, groups: &str) -> Option<Figures> {
    let has_v2 = std::fs::exists(mount.join("cgroup.controllers")).unwrap_or(false);
    if has_v2 {
        read_v2(&mount.join(relative(path_of(groups, "")?)))
    } else {
        read_v1(mount, groups)
    }
}

fn read_v2(group: &Path) -> Option<Figures> {
    let memory = number(&group.join("memory.current"))?;
    let reclaimable = field(&group.join("memory.stat"), "inactive_file").unwrap_or(0);
    Some(Figures {
        cpu_us: field(&group.join("cpu.stat"), "usage_usec")?,
        memory_bytes: memory.saturating_sub(reclaimable),
        pids: number(&group.join("pids.current")).and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
    })
}

fn read_v1(mount: &Path, groups: &str) -> Option<Figures> {
    let group = |controller: &str| -> Option<PathBuf> {
        Some(mount.join(controller).join(relative(path_of(groups, controller)?)))
    };
    let memory = group("memory")?;
    let used = number(&memory.join("memory.usage_in_bytes"))?;
    let reclaimable = field(&memory.join("memory.stat"), "total_inactive_file").unwrap_or(0);
    let pids = group("pids").and_then(|path| number(&path.join("pids.current")));
    Some(Figures {
        cpu_us: number(&group("cpuacct")?.join("cpuacct.usage"))? / 1000,
        memory_bytes: used.saturating_sub(reclaimable),
        pids: pids.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
    })
}

/// The path of a controller in the lines `id:controllers:path`; version 2 has the empty name.
fn path_of<'a>(groups: &'a str, controller: &str) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, names, path) = (parts.next()?, parts.next()?, parts.next()?);
        names.split(',').any(|name| name == controller).then_some(path)
    })
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn field(path: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}
