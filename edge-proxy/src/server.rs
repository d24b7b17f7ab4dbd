//! The traffic side as a whole: listeners, workers, stop.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::access_log::{Batch, Record};
use crate::limits::{Connections, Limits};
use crate::metrics::Counters;
use crate::routes::table::Table;
use crate::worker::{self, Seed};

const BACKLOG: i32 = 4096;

/// How traffic is served.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where; port 0 takes a free one.
    pub addresses: Vec<SocketAddr>,
    /// Threads; each has all addresses.
    pub workers: usize,
    /// Bounds.
    pub limits: Limits,
}

/// The running workers. Dropping it stops them softly.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    counters: Vec<Arc<Counters>>,
    stop: watch::Sender<bool>,
    cut: CancellationToken,
    ended: mpsc::UnboundedReceiver<io::Result<()>>,
}

impl Server {
    /// Binds all addresses and starts the workers.
    ///
    /// # Errors
    /// [`Error::Bind`] where an address is in use or not ours.
    pub fn start(
        settings: &Settings,
        table: &Arc<Table>,
        log: Option<&SyncSender<Vec<Record>>>,
    ) -> Result<Self, Error> {
        let workers = settings.workers.max(1);
        let mut listeners: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for &address in &settings.addresses {
            let bind = |source| Error::Bind { address, source };
            addresses.push(bind_for_all(address, &mut listeners).map_err(bind)?);
        }
        let (stop, _) = watch::channel(false);
        let (end, ended) = mpsc::unbounded_channel();
        let cut = CancellationToken::new();
        let connections = Arc::new(Connections::default());
        let mut counters = Vec::new();
        for (number, listeners) in listeners.into_iter().enumerate() {
            counters.push(Arc::new(Counters::default()));
            let seed = Seed {
                table: table.clone(),
                connections: connections.clone(),
                counters: counters[number].clone(),
                limits: settings.limits.clone(),
                log: Batch::new(log.cloned()),
                departures: table.departures(),
                listeners,
                stop: stop.subscribe(),
                // Each worker cuts its own after its drain; the parent cuts all.
                cut: cut.child_token(),
            };
            let end = end.clone();
            std::thread::Builder::new()
                .name(format!("edge-{number}"))
                .spawn(move || {
                    // Nobody waits any more where the receiver is gone.
                    let _ = end.send(worker::run(seed));
                })
                .map_err(Error::Thread)?;
        }
        Ok(Self { addresses, counters, stop, cut, ended })
    }

    /// Where it listens, in the order of the settings.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The counts of each worker.
    #[must_use]
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// Takes no new connections; what is in flight is finished.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Drops everything.
    pub fn cut(&self) {
        self.stop();
        self.cut.cancel();
    }

    /// Resolves when a worker has ended: after a stop when all have, else at once, because an
    /// edge with a dead worker would lose its share of the connections.
    ///
    /// # Errors
    /// What ended it; [`Error::WorkerDied`] where it says nothing.
    pub async fn ended(&mut self) -> Result<(), Error> {
        for _ in 0..self.counters.len() {
            match self.ended.recv().await {
                Some(Ok(())) if *self.stop.borrow() => {}
                Some(Err(error)) => return Err(Error::Worker(error)),
                Some(Ok(())) | None => return Err(Error::WorkerDied),
            }
        }
        Ok(())
    }
}

/// Listeners of one address for every worker; all share the port that the first one got.
fn bind_for_all(address: SocketAddr, workers: &mut [Vec<TcpListener>]) -> io::Result<SocketAddr> {
    // SO_REUSEPORT would let two edges of one user share a port in silence; a plain bind first
    // says that it is taken.
    if address.port() != 0 {
        drop(bind(address, false)?);
    }
    let mut bound = address;
    for listeners in workers {
        let listener = bind(bound, true)?;
        bound = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(bound)
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // 0.0.0.0 and [::] of one port are two addresses.
        socket.set_only_v6(true)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if shared {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

#[cfg(test)]
mod tests;
