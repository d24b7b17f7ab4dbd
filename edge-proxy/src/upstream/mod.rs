//! Instances as the edge meets them: counted, chosen, ejected for a while, connected to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use zeitwork_model::id::InstanceId;
use zeitwork_model::route::Endpoint;

pub mod balance;
pub mod eject;
pub mod pool;

/// One instance at one address. Another instance at the same address is another upstream, so
/// nothing that belongs to the one is ever used for the other.
#[derive(Debug)]
pub struct Upstream {
    /// The instance; none for what the configuration routes.
    pub instance: Option<InstanceId>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Unique in this process: the key of connection pools.
    pub serial: u64,
    /// Its recent failures.
    pub health: eject::Health,
    in_flight: AtomicU32,
    gone: AtomicBool,
}

impl Upstream {
    /// The instance of an endpoint.
    #[must_use]
    pub fn of(endpoint: Endpoint) -> Self {
        Self { instance: Some(endpoint.instance), ..Self::fixed(endpoint.address) }
    }

    /// The same as the table was told it.
    #[must_use]
    pub fn endpoint(&self) -> Option<Endpoint> {
        Some(Endpoint { instance: self.instance?, address: self.address })
    }

    /// An address from the configuration.
    #[must_use]
    pub fn fixed(address: SocketAddr) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        Self {
            instance: None,
            address,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            health: eject::Health::default(),
            in_flight: AtomicU32::new(0),
            gone: AtomicBool::new(false),
        }
    }

    /// Requests, streams and upgrades that may still reach the instance.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Whether no route names it any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(crate) fn enter(&self) {
        self.gone.store(false, Ordering::Release);
    }

    /// Says true the first time.
    pub(crate) fn leave(&self) -> bool {
        !self.gone.swap(true, Ordering::AcqRel)
    }
}

/// One exchange with an instance: counted from the moment it is chosen until nothing of it can
/// reach the instance any more. Both bodies and the upgrade's task share it.
#[derive(Debug)]
pub struct Flight {
    /// Where to.
    pub upstream: Arc<Upstream>,
    /// Whether the request's body is still on its way.
    pub uploading: std::cell::Cell<bool>,
    /// When the request's body last moved.
    pub moved: std::cell::Cell<Instant>,
}

impl Flight {
    /// Counts up at once.
    #[must_use]
    pub fn begin(upstream: Arc<Upstream>) -> Self {
        upstream.in_flight.fetch_add(1, Ordering::SeqCst);
        Self {
            upstream,
            uploading: std::cell::Cell::new(false),
            moved: std::cell::Cell::new(Instant::now()),
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.upstream.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
