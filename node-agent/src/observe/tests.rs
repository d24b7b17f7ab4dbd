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

#[test]
fn the_host_has_figures() {
    let host = Host::new("/".into()).read();
    assert!(host.memory_bytes > host.memory_available_bytes && host.memory_available_bytes > 0);
    assert!(host.disk_bytes > 0 && host.cores > 0 && !host.kernel.is_empty());
}
