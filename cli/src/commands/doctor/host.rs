//! This host: ports, disks, kernel, programs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use nix::unistd::Uid;

use super::Finding;
use crate::session::Session;
use crate::supervise::ports::{ADDRESSES, taken};
use crate::supervise::runs_as;

const GIB: u64 = 1 << 30;
/// A build with its layers easily takes this.
const DISK_HINT: u64 = 5 * GIB;
/// The database and the engine stop working soon.
const DISK_WRONG: u64 = GIB;

/// Whether the ports are free; while the platform runs they are its own.
pub fn ports(session: &Session) -> Vec<Finding> {
    const CHECK: &str = "ports";
    if let Some(pid) = runs_as(&session.state()) {
        return vec![Finding::ok(CHECK, format!("held by the running platform (process {pid})"))];
    }
    let mut findings = Vec::new();
    for name in ADDRESSES {
        match session.settings().list::<SocketAddr>(name) {
            Ok(all) => findings.extend(all.into_iter().filter_map(|address| port(name, address))),
            Err(_) => findings.push(Finding::wrong(
                CHECK,
                format!("{name} is no list of addresses"),
                "write it like 127.0.0.1:7070, several separated by commas",
            )),
        }
    }
    if findings.is_empty() { vec![Finding::ok(CHECK, "all are free")] } else { findings }
}

/// What is wrong with a port, if anything is.
pub fn port(name: &'static str, address: SocketAddr) -> Option<Finding> {
    let taken = taken(name, address)?;
    let detail = format!("{address} ({name}): {}", taken.error);
    Some(Finding::wrong("ports", detail, taken.remedy()))
}

/// How much room there is at a path, or at the nearest directory above it that exists.
pub fn disk(check: &str, path: &Path) -> Option<Finding> {
    let path = std::path::absolute(path).ok()?;
    let found = path.ancestors().find_map(|directory| statvfs(directory).ok())?;
    let free = found.blocks_available().saturating_mul(found.fragment_size());
    Some(room(check, &path, free))
}

/// What so much room means.
pub fn room(check: &str, path: &Path, free: u64) -> Finding {
    let tenths = free * 10 / GIB;
    let detail = format!("{}.{} GiB free at {}", tenths / 10, tenths % 10, path.display());
    let remedy = "make room: docker system df and du -x show what takes it";
    match free {
        ..DISK_WRONG => Finding::wrong(check, detail, remedy),
        DISK_WRONG..DISK_HINT => Finding::hint(check, detail, remedy),
        _ => Finding::ok(check, detail),
    }
}

/// What isolation between projects needs.
pub fn kernel() -> Vec<Finding> {
    const CHECK: &str = "kernel";
    let mut findings = Vec::new();
    let bridge = std::fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables");
    findings.push(match bridge.as_deref().map(str::trim) {
        Ok("1") => Finding::ok(CHECK, "br_netfilter filters between instances"),
        Ok(_) => Finding::wrong(
            CHECK,
            "frames between instances pass by the firewall",
            "sysctl -w net.bridge.bridge-nf-call-iptables=1",
        ),
        Err(_) => Finding::wrong(
            CHECK,
            "br_netfilter is not loaded: projects could reach each other",
            "modprobe br_netfilter, and name it in /etc/modules-load.d/zeitwork.conf",
        ),
    });
    if !Uid::effective().is_root() {
        findings.push(Finding::hint(
            "user",
            "not root: the node agent sets up the firewall and needs it",
            "run `zeitwork up` with sudo -E; api, operator, edge and database give the rights up",
        ));
    }
    findings
}

/// Programs that are run.
pub fn programs() -> Vec<Finding> {
    [("git", "git"), ("nft", "nftables")]
        .into_iter()
        .map(|(program, package)| {
            if in_path(program) {
                Finding::ok(program, "is installed")
            } else {
                Finding::wrong(
                    program,
                    format!("{program} is not installed"),
                    format!("apt-get install {package}"),
                )
            }
        })
        .collect()
}

/// Whether a program can be found; the system's own directories count for everybody.
pub fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).any(|directory| directory.join(program).is_file())
}
