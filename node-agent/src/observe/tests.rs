use std::time::{Duration, Instant};

use super::cgroup::{Figures, read_groups};
use super::host::Host;
use super::traffic;

fn write(root: &std::path::Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

const WANTED: Figures = Figures { cpu_us: 1_234_567, memory_bytes: 7_000_000, pids: 12 };

#[test]
fn version_1_has_one_hierarchy_for_each_controller() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        &[
            ("cpuacct/docker/abc/cpuacct.usage", "1234567890\n"),
            ("memory/docker/abc/memory.usage_in_bytes", "10000000\n"),
            ("memory/docker/abc/memory.stat", "inactive_file 1\ntotal_inactive_file 3000000\n"),
            ("pids/docker/abc/pids.current", "12\n"),
        ],
    );
    let groups = "9:pids:/docker/abc\n5:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n";
    assert_eq!(read_groups(root.path(), groups), Some(WANTED));
    assert_eq!(read_groups(root.path(), "5:memory:/docker/gone\n"), None);
}

#[test]
fn version_2_has_one_for_all() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        &[
            ("cgroup.controllers", "cpu memory pids\n"),
            ("system.slice/docker-abc.scope/cpu.stat", "usage_usec 1234567\nuser_usec 1\n"),
            ("system.slice/docker-abc.scope/memory.current", "10000000\n"),
            ("system.slice/docker-abc.scope/memory.stat", "anon 5\ninactive_file 3000000\n"),
            ("system.slice/docker-abc.scope/pids.current", "12\n"),
        ],
    );
    let groups = "0::/system.slice/docker-abc.scope\n";
    assert_eq!(read_groups(root.path(), groups), Some(WANTED));
}

#[test]
fn traffic_is_that_of_all_interfaces_but_loopback() {
    let text = "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes packets\n    lo: 900 1 0 0 0 0 0 0 900 1 0 0 0 0 0 0\n  eth0: 1500 3 0 0 0 0 0 0 700 2 0 0 0 0 0 0\n";
    assert_eq!(traffic::sum(text), Some((1500, 700)));
}

/// Figures of the host as the kernel tells them elsewhere than where [`Host`] reads them, or read
/// anew.
struct Told {
    at: Instant,
    /// Microseconds in which a core was neither idle nor waited.
    busy_us: u64,
    available: u64,
    sent: u64,
}

impl Told {
    fn now() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap();
        let stat = read("/proc/stat");
        let ticks: Vec<u64> =
            stat.lines().next().unwrap().split_whitespace().flat_map(str::parse).collect();
        let busy: u64 = ticks[..8].iter().sum::<u64>() - ticks[3] - ticks[4];
        let memory = read("/proc/meminfo");
        let available = memory.lines().find_map(|l| l.strip_prefix("MemAvailable:")).unwrap();
        let available: u64 = available.trim().trim_end_matches(" kB").parse().unwrap();
        let routes = read("/proc/net/route");
        let mut out: Vec<&str> = routes
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|route| route[1] == "00000000" && route[7] == "00000000")
            .map(|route| route[0])
            .collect();
        out.sort_unstable();
        out.dedup();
        let sent = |name: &&str| read(&format!("/sys/class/net/{name}/statistics/tx_bytes"));
        Self {
            at: Instant::now(),
            busy_us: busy * 1_000_000 / procfs::ticks_per_second(),
            available: available * 1024,
            sent: out.iter().map(|name| sent(name).trim().parse::<u64>().unwrap()).sum(),
        }
    }
}

/// Keeps a core busy for half a second and sends a mebibyte to where nobody is (RFC 5737).
fn load() {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    for _ in 0..1024 {
        // A full queue only means fewer bytes; the kernel counts what it took.
        let _ = socket.send_to(&[0; 1024], "203.0.113.1:9");
    }
    let end = Instant::now() + Duration::from_millis(500);
    while Instant::now() < end {
        std::hint::black_box(0);
    }
}

/// Each figure lies between what the kernel told right before and right after, within: CPU 2
/// ticks of each core (the kernel counts in ticks), memory 32 MiB (other programs come and go),
/// network none.
#[test]
fn the_figures_of_the_host_are_those_of_the_kernel_around_a_load() {
    let mut host = Host::new("/".into());
    let (before, first, after) = (Told::now(), host.read(), Told::now());
    load();
    let (late, second, last) = (Told::now(), host.read(), Told::now());

    let slack = 2 * 10_000 * u64::from(first.cores);
    let rate = |us: u64, time: Duration| us * 1_000 / u64::try_from(time.as_micros()).unwrap();
    let least = rate((late.busy_us - after.busy_us).saturating_sub(slack), last.at - before.at);
    let most = rate(last.busy_us - before.busy_us + slack, late.at - after.at);
    let cpu = u64::from(second.cpu_millis);
    assert!((least..=most).contains(&cpu), "{cpu} is not within {least} and {most}");
    assert!(cpu > 100, "a core was kept busy: {cpu}");

    let memory = second.memory_available_bytes;
    let (low, high) = (late.available.min(last.available), late.available.max(last.available));
    let slack = 32 << 20;
    assert!(memory + slack >= low && memory <= high + slack, "{low} <= {memory} <= {high}");
    let total = nix::sys::sysinfo::sysinfo().unwrap().ram_total();
    assert_eq!(second.memory_bytes, total);

    let sent = second.network_sent_bytes;
    assert!((late.sent..=last.sent).contains(&sent), "{} <= {sent} <= {}", late.sent, last.sent);
    let ours = second.network_sent_bytes - first.network_sent_bytes;
    assert!(ours >= 512 * 1024, "a mebibyte was sent: {ours}");
    assert!(second.disk_bytes > second.disk_available_bytes && !second.kernel.is_empty());
}
