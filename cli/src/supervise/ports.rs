//! The addresses that the platform binds.

use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, TcpListener};

use zeitwork_runtime::config::Settings;

/// Every setting that names some.
pub const ADDRESSES: [&str; 5] = [
    "ZEITWORK_API_ADDRESS",
    "ZEITWORK_OPERATOR_ADDRESS",
    "ZEITWORK_NODE_ADDRESS",
    "ZEITWORK_EDGE_ADMIN_ADDRESS",
    "ZEITWORK_EDGE_HTTP_ADDRESS",
];
/// Below it an address needs a right that daemons do not have by themselves.
const FIRST_FREE_PORT: u16 = 1024;

/// An address that cannot be bound.
#[derive(Debug)]
pub struct Taken {
    /// The setting.
    pub name: &'static str,
    /// What it says.
    pub address: SocketAddr,
    /// Why not.
    pub error: Error,
}

impl Taken {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        let Self { name, address, error } = self;
        match error.kind() {
            ErrorKind::AddrInUse => format!(
                "end what listens there (ss -ltnp 'sport = :{}'), or set {name}",
                address.port()
            ),
            ErrorKind::PermissionDenied => {
                format!("become root, or set {name} to a port above 1023")
            }
            _ => format!("set {name} to an address of this host"),
        }
    }
}

/// What is wrong with an address, if anything is.
pub fn taken(name: &'static str, address: SocketAddr) -> Option<Taken> {
    let error = TcpListener::bind(address).err()?;
    Some(Taken { name, address, error })
}

/// Every address of the settings that cannot be bound; what cannot be read is told elsewhere.
pub fn all_taken(settings: &Settings) -> Vec<Taken> {
    let of = |name| settings.list::<SocketAddr>(name).unwrap_or_default().into_iter();
    ADDRESSES.into_iter().flat_map(|name| of(name).filter_map(move |it| taken(name, it))).collect()
}

/// Whether one of the addresses needs the right to bind low ports.
pub fn has_low(settings: &Settings, name: &'static str) -> bool {
    let addresses = settings.list::<SocketAddr>(name).unwrap_or_default();
    addresses.iter().any(|address| (1..FIRST_FREE_PORT).contains(&address.port()))
}
