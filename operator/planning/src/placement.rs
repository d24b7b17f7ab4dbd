//! Where an instance runs, and at which address.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use zeitwork_model::id::NodeId;

#[cfg(test)]
mod tests;

/// What an instance is expected to use at first; its limit may be far above.
const EXPECTED_BYTES: u64 = 128 << 20;

/// A node that may take an instance: it is ready and has the image.
#[derive(Debug, Clone)]
pub struct Node {
    /// Which.
    pub id: NodeId,
    /// Its instances' network.
    pub subnet: Ipv4Network,
    /// Bytes of memory that could be had when it reported last.
    pub available_bytes: u64,
    /// Instances placed on it that were not healthy then, so not in that figure.
    pub arriving: u32,
    /// Instances of the same process of the same deployment on it.
    pub siblings: u32,
    /// Addresses that are reserved.
    pub taken: BTreeSet<Ipv4Addr>,
    /// The one that was reserved last.
    pub last: Option<Ipv4Addr>,
}

/// A place for one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// On which node.
    pub node: NodeId,
    /// At which address.
    pub address: Ipv4Addr,
}

/// The best place, or none while no node has memory and an address left: apart from its
/// siblings first, then where most memory is free.
#[must_use]
pub fn choose(nodes: &[Node], limit_bytes: u64) -> Option<Place> {
    let need = limit_bytes.min(EXPECTED_BYTES);
    let mut fit: Vec<(&Node, u64)> = nodes
        .iter()
        .map(|n| (n, n.available_bytes.saturating_sub(u64::from(n.arriving) * EXPECTED_BYTES)))
        .filter(|(_, free)| *free >= need)
        .collect();
    fit.sort_by_key(|(n, free)| (n.siblings, std::cmp::Reverse(*free), n.id));
    fit.into_iter()
        .find_map(|(node, _)| free_address(node).map(|address| Place { node: node.id, address }))
}

/// The first free address behind the one that was reserved last, so that an address rests as
/// long as possible. The network itself, its gateway (the first host) and the broadcast address
/// are nobody's.
fn free_address(node: &Node) -> Option<Ipv4Addr> {
    let first = u32::from(node.subnet.network()) + 2;
    let last = u32::from(node.subnet.broadcast()).checked_sub(1)?;
    if first > last {
        return None;
    }
    let start = node.last.map_or(first, |address| u32::from(address) + 1).clamp(first, last + 1);
    (start..=last).chain(first..start).map(Ipv4Addr::from).find(|a| !node.taken.contains(a))
}
