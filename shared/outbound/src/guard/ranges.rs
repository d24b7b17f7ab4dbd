//! Which addresses are public: all but the special-purpose networks of [`zeitwork_model::network`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zeitwork_model::network::{is_special_v4, is_special_v6};

/// Can the address be that of a server on the public internet?
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => !is_special_v4(four),
        IpAddr::V6(six) => is_public_v6(six),
    }
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Addresses that carry an IPv4 address lead to it on hosts with a translator.
    if let Some(four) = embedded_v4(address) {
        return !is_special_v4(four);
    }
    // Only this eighth of the space has been given out (RFC 4291 §2.4, IANA).
    let is_global_unicast = address.segments()[0] & 0xe000 == 0x2000;
    is_global_unicast && !is_special_v6(address)
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
