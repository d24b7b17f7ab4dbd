//! Networks that are set apart from the public internet.
//!
//! The IANA special-purpose registries
//! (<https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>), and what the address space
//! registries reserve beside them: multicast, class E, and site-local addresses of the past.
//! One table, for what we ask ourselves and for what instances and builds may reach.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A network: its first address and the length of its prefix.
pub type Network<Address> = (Address, u8);

/// Special-purpose networks of IPv4.
pub const SPECIAL_V4: [Network<Ipv4Addr>; 18] = [
    (Ipv4Addr::UNSPECIFIED, 8),           // this host on this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // carrier-grade NAT
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local, cloud metadata
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 31, 196, 0), 24), // AS112
    (Ipv4Addr::new(192, 52, 193, 0), 24), // AMT
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // 6to4 relay
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(192, 175, 48, 0), 24), // AS112
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved, broadcast
];

/// Special-purpose networks of IPv6. Mapped, translated and 6to4 addresses carry one of IPv4, and
/// lead to it on hosts with a translator.
pub const SPECIAL_V6: [Network<Ipv6Addr>; 15] = [
    (Ipv6Addr::UNSPECIFIED, 96), // unspecified, loopback, compatible
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96), // mapped
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96), // translated
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48), // translated, local use
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64), // discard only
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments, Teredo
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48), // AS112
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16), // segment routing
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7), // unique local
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10), // link-local
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10), // site-local
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8), // multicast
];

/// Whether a network of [`SPECIAL_V4`] holds the address.
#[must_use]
pub fn is_special_v4(address: Ipv4Addr) -> bool {
    let within = |&(network, prefix): &Network<Ipv4Addr>| {
        (address.to_bits() ^ network.to_bits()) >> (32 - u32::from(prefix)) == 0
    };
    SPECIAL_V4.iter().any(within)
}

/// Whether a network of [`SPECIAL_V6`] holds the address.
#[must_use]
pub fn is_special_v6(address: Ipv6Addr) -> bool {
    let within = |&(network, prefix): &Network<Ipv6Addr>| {
        (address.to_bits() ^ network.to_bits()) >> (128 - u32::from(prefix)) == 0
    };
    SPECIAL_V6.iter().any(within)
}
