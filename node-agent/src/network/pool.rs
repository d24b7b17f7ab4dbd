//! Which part of the pool the node's bridge takes.

use ipnetwork::Ipv4Network;

/// First 4,093 instances, else 1,021, else 253.
const PREFIXES: [u8; 3] = [20, 22, 24];

/// A part of the pool that overlaps with nothing that is taken; the largest that can be had. The
/// search begins where `seed` says, so that two nodes of one host want different parts and find
/// their own free again after a stop.
#[must_use]
pub fn choose(pool: Ipv4Network, taken: &[Ipv4Network], seed: u32) -> Option<Ipv4Network> {
    PREFIXES.iter().filter(|&&prefix| prefix >= pool.prefix()).find_map(|&prefix| {
        let size = 1u64 << (32 - u32::from(prefix));
        let first = u64::from(u32::from(pool.network()));
        let parts = 1u64 << (prefix - pool.prefix());
        (0..parts).map(|step| (u64::from(seed) + step) % parts).find_map(|part| {
            let start = u32::try_from(first + part * size).ok()?;
            let subnet = Ipv4Network::new(start.into(), prefix).ok()?;
            taken.iter().all(|other| !overlap(*other, subnet)).then_some(subnet)
        })
    })
}

/// Whether the two share an address.
#[must_use]
pub fn overlap(a: Ipv4Network, b: Ipv4Network) -> bool {
    a.contains(b.network()) || b.contains(a.network())
}
