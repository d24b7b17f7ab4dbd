//! Which addresses are public: all that the IANA special-purpose registries do not set apart
//! (<https://www.iana.org/assignments/iana-ipv4-special-registry>, and the same for IPv6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Can the address be that of a server on the public internet?
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => is_public_v4(four),
        IpAddr::V6(six) => is_public_v6(six),
    }
}

const SPECIAL_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),       // this host on this network
    ([10, 0, 0, 0], 8),      // private
    ([100, 64, 0, 0], 10),   // carrier-grade NAT
    ([127, 0, 0, 0], 8),     // loopback
    ([169, 254, 0, 0], 16),  // link-local, cloud metadata
    ([172, 16, 0, 0], 12),   // private
    ([192, 0, 0, 0], 24),    // protocol assignments
    ([192, 0, 2, 0], 24),    // documentation
    ([192, 31, 196, 0], 24), // AS112
    ([192, 52, 193, 0], 24), // AMT
    ([192, 88, 99, 0], 24),  // 6to4 relay
    ([192, 168, 0, 0], 16),  // private
    ([192, 175, 48, 0], 24), // AS112
    ([198, 18, 0, 0], 15),   // benchmarks
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 4),     // multicast
    ([240, 0, 0, 0], 4),     // reserved, broadcast
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    !SPECIAL_V4.iter().any(|&(network, length)| {
        let mask = u32::MAX << (32 - length);
        bits & mask == u32::from_be_bytes(network) & mask
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Addresses that carry an IPv4 address lead to it on hosts with a translator.
    if let Some(four) = embedded_v4(address) {
        return is_public_v4(four);
    }
    match segments {
        // Global unicast is 2000::/3; in it are set apart:
        [0x2001, 0..=0x01ff, ..] => false, // protocol assignments, Teredo
        [0x2001, 0x0db8, ..] => false,     // documentation
        [0x3fff, 0..=0x0fff, ..] => false, // documentation
        [0x2620, 0x004f, 0x8000, ..] => false, // AS112
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// The IPv4 address inside v4-mapped (`::ffff:…`), NAT64 (`64:ff9b::…`) and 6to4 (`2002:…`).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let four = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => Some(four(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(four(high, low)),
        [0x2002, high, low, ..] => Some(four(high, low)),
        _ => None,
    }
}
