//! How much one edge takes on: time-outs, and connections in all and per client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bounds of the request path.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Time for the first byte of a connection: hyper has none.
    pub first_byte: Duration,
    /// Time for a head, and for an idle connection's next one (hyper has one limit for both).
    pub head: Duration,
    /// Header fields in a head; more are answered with 431.
    pub fields: usize,
    /// How long a client may leave what we write unread.
    pub unread: Duration,
    /// How long an upgraded connection may be silent.
    pub upgrade_idle: Duration,
    /// Connections of all clients.
    pub connections: usize,
    /// Connections of one client (an IPv4 address or an IPv6 /64). Loopback has no such cap: there
    /// stands a balancer or the operator.
    pub connections_per_client: usize,
    /// After a stop: how long idle connections stay open for one more request.
    pub linger: Duration,
    /// After a stop: how long what is in flight may take.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            head: Duration::from_secs(15),
            fields: 100,
            unread: Duration::from_secs(30),
            upgrade_idle: Duration::from_hours(1),
            connections: 50_000,
            connections_per_client: 1_000,
            linger: Duration::from_secs(2),
            drain: Duration::from_secs(30),
        }
    }
}

/// The connections that are open. Its map holds only clients that are there, so its size is
/// bounded by the cap.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicUsize,
    clients: Mutex<HashMap<IpAddr, usize>>,
}

/// A place for one connection; given back when dropped.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    client: Option<IpAddr>,
}

impl Connections {
    /// A place for the client, or none where a cap is reached.
    #[must_use]
    pub fn admit(self: &Arc<Self>, client: IpAddr, limits: &Limits) -> Option<Place> {
        let client = key(client);
        let taken = self.open.fetch_add(1, Ordering::Relaxed);
        let mut place = Place { connections: self.clone(), client: None };
        if taken >= limits.connections {
            return None;
        }
        if !client.is_loopback() {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            let count = clients.entry(client).or_default();
            if *count >= limits.connections_per_client {
                return None;
            }
            *count += 1;
            place.client = Some(client);
        }
        Some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        let Some(client) = self.client else { return };
        let mut clients = self.connections.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&client);
            }
        }
    }
}

fn key(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) if address.is_loopback() => client,
        IpAddr::V6(address) => {
            let s = address.segments();
            IpAddr::from([s[0], s[1], s[2], s[3], 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let limits = Limits { connections: 3, connections_per_client: 2, ..Limits::default() };
        let connections = Arc::new(Connections::default());
        let near = "2001:db8::1".parse().unwrap();
        let same = "2001:db8::2".parse().unwrap();
        let other = "192.0.2.1".parse().unwrap();
        let first = connections.admit(near, &limits).unwrap();
        let _second = connections.admit(same, &limits).unwrap();
        assert!(connections.admit(near, &limits).is_none(), "a /64 is one client");
        let _third = connections.admit(other, &limits).unwrap();
        assert!(connections.admit("192.0.2.2".parse().unwrap(), &limits).is_none());
        drop(first);
        assert!(connections.admit(same, &limits).is_some());
        assert_eq!(connections.clients.lock().unwrap().len(), 2);
    }
}
