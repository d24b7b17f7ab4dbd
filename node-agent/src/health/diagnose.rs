//! Why nothing answers at an instance's port: what its processes listen on instead.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use procfs::net::TcpState;
use procfs::process::Process;
use zeitwork_model::reason::Reason;

use super::check::REFUSED;

/// The engine's own resolver inside of each container.
const ENGINE_RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// The reason why a connection to the port was refused, as far as the process shows it.
#[must_use]
pub fn refused(pid: i32, port: u16) -> Reason {
    explain(&listeners(pid), port)
}

/// The reason, from what it listens on.
#[must_use]
pub fn explain(listeners: &[SocketAddr], port: u16) -> Reason {
    let here: Vec<IpAddr> =
        listeners.iter().filter(|l| l.port() == port).map(SocketAddr::ip).collect();
    if let Some(ip) = here.iter().find(|ip| ip.is_loopback())
        && here.iter().all(IpAddr::is_loopback)
    {
        let text = format!(
            "listens on {ip} only: nobody outside of the container can reach it; \
             let it listen on 0.0.0.0:{port}"
        );
        return Reason::new("listens_on_loopback", text);
    }
    let elsewhere: BTreeSet<u16> =
        listeners.iter().map(SocketAddr::port).filter(|other| *other != port).collect();
    if elsewhere.is_empty() {
        return Reason::new(REFUSED, format!("nothing listens on port {port}"));
    }
    let ports: Vec<String> = elsewhere.iter().map(ToString::to_string).collect();
    let text = format!("nothing listens on port {port} (it listens on {})", ports.join(", "));
    Reason::new("listens_elsewhere", text)
}

fn listeners(pid: i32) -> Vec<SocketAddr> {
    let Ok(process) = Process::new(pid) else { return Vec::new() };
    let mut entries = process.tcp().unwrap_or_default();
    entries.extend(process.tcp6().unwrap_or_default());
    entries
        .into_iter()
        .filter(|entry| entry.state == TcpState::Listen)
        .map(|entry| entry.local_address)
        .filter(|address| address.ip() != ENGINE_RESOLVER)
        .collect()
}
