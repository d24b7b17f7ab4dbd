//! Who is at the far end where a proxy stands between.
//!
//! The edge runs on this host, drops what clients claim, and says in `X-Forwarded-For` who they
//! are. So that header counts on connections of this host alone; of several entries the last
//! one, which the nearest proxy has written. Whoever calls from elsewhere claims in vain.

use std::net::IpAddr;

use http::HeaderMap;
use http::request::Parts;

use crate::server::{LocalAddress, PeerAddress};

#[cfg(test)]
mod tests;

/// The client's address; none where the request came over no connection (tests).
#[must_use]
pub fn client_address(parts: &Parts) -> Option<IpAddr> {
    let peer = parts.extensions.get::<PeerAddress>()?.0.ip().to_canonical();
    let local = parts.extensions.get::<LocalAddress>().map(|local| local.0.ip().to_canonical());
    let is_of_this_host = peer.is_loopback() || local == Some(peer);
    Some(forwarded(&parts.headers).filter(|_| is_of_this_host).unwrap_or(peer))
}

fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    let last = last.rsplit(',').next()?.trim();
    last.parse().ok().map(|address: IpAddr| address.to_canonical())
}
