//! Figures of the host.

use std::path::{Path, PathBuf};
use std::time::Instant;

use zeitwork_protocol::report::HostReport;

use super::traffic;

/// Reads the host; knows the reading before, for what is a rate.
#[derive(Debug)]
pub struct Host {
    disk: PathBuf,
    before: Option<(Instant, u64)>,
}

impl Host {
    /// The host, with the disk on which this path is.
    #[must_use]
    pub fn new(disk: PathBuf) -> Self {
        Self { disk, before: None }
    }

    /// The figures of now; what cannot be read is 0.
    pub fn read(&mut self) -> HostReport {
        let memory = text("/proc/meminfo");
        let (disk_bytes, disk_available_bytes) = disk(&self.disk).unwrap_or((0, 0));
        let (received, sent) = host_traffic();
        HostReport {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            engine_version: String::new(),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            subnet: None,
            cores: cores(),
            memory_bytes: kibibytes(&memory, "MemTotal:"),
            memory_available_bytes: kibibytes(&memory, "MemAvailable:"),
            cpu_millis: self.cpu_millis(),
            load1: text("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(0.0),
            disk_bytes,
            disk_available_bytes,
            network_received_bytes: received,
            network_sent_bytes: sent,
        }
    }

    fn cpu_millis(&mut self) -> u32 {
        let Some(busy_us) = busy_us(&text("/proc/stat")) else { return 0 };
        let now = Instant::now();
        let before = self.before.replace((now, busy_us));
        before.map_or(0, |(time, then)| {
            let elapsed = now.duration_since(time).as_micros().max(1);
            u32::try_from(u128::from(busy_us.saturating_sub(then)) * 1000 / elapsed).unwrap_or(0)
        })
    }
}

/// Cores of the host.
#[must_use]
pub fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1))
}

/// CPU time that was not idle since boot, from `/proc/stat`.
fn busy_us(stat: &str) -> Option<u64> {
    let columns = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = columns.split_whitespace().filter_map(|c| c.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; guest time is within user.
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|&i| ticks.get(i)).sum();
    Some(busy * 1_000_000 / procfs::ticks_per_second())
}

fn kibibytes(meminfo: &str, name: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
    let figure = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    figure.unwrap_or(0) * 1024
}

/// Size of the disk on which a path is, and what of it is free for everybody.
#[must_use]
pub fn disk(path: &Path) -> Option<(u64, u64)> {
    let stat = nix::sys::statvfs::statvfs(path).ok()?;
    let unit = stat.fragment_size();
    Some((stat.blocks() * unit, stat.blocks_available() * unit))
}

/// Bytes over the interfaces that lead out: those that a default route uses.
fn host_traffic() -> (u64, u64) {
    let routes = procfs::net::route().unwrap_or_default();
    let out: Vec<&str> =
        routes.iter().filter(|r| r.mask.is_unspecified()).map(|r| r.iface.as_str()).collect();
    let all = text("/proc/net/dev");
    let mut lines = all.lines();
    let head: Vec<&str> = lines.by_ref().take(2).collect();
    let wanted = lines
        .filter(|line| line.split_once(':').is_some_and(|(name, _)| out.contains(&name.trim())));
    let kept: Vec<&str> = head.into_iter().chain(wanted).collect();
    traffic::sum(&kept.join("\n")).unwrap_or((0, 0))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
