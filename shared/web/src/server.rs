//! Listeners and connections: bind with errors that help, accept with limits, drain on stop.
//!
//! For the daemons' own HTTP/1 (API, health, metrics); the edge's traffic has its own loop.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;
use zeitwork_runtime::Lifecycle;

#[cfg(test)]
mod tests;

/// Who is at the other end of the connection, as an extension of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Where the connection came in, as an extension of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalAddress(pub SocketAddr);

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error("{0} is in use: stop what listens there or choose another address")]
    InUse(SocketAddr),
    /// Ports below 1024 need a right.
    #[error("{0} needs the right to bind low ports (CAP_NET_BIND_SERVICE), or another port")]
    Forbidden(SocketAddr),
    /// This host does not have the address.
    #[error("{0} is no address of this host")]
    NotOurs(SocketAddr),
    /// Anything else.
    #[error("{0} cannot be listened on")]
    Other(SocketAddr, #[source] io::Error),
    /// The list is empty.
    #[error("no address to listen on was given")]
    Nothing,
}

impl BindError {
    fn new(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(address),
            io::ErrorKind::PermissionDenied => Self::Forbidden(address),
            io::ErrorKind::AddrNotAvailable => Self::NotOurs(address),
            _ => Self::Other(address, error),
        }
    }
}

/// What connections may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerSettings {
    /// Connections at once; more wait in the system's backlog.
    pub connections: usize,
    /// Time for the first byte, for the headers, and between two requests.
    pub header_timeout: Duration,
    /// Octets of a request's head.
    pub head: usize,
}

impl Default for ServerSettings {
    /// 4096 connections, 30 s, 64 KiB.
    fn default() -> Self {
        Self { connections: 4096, header_timeout: Duration::from_secs(30), head: 64 * 1024 }
    }
}

/// Bound listeners that do not serve yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<(SocketAddr, TcpListener)>,
    settings: ServerSettings,
}

impl Server {
    /// Binds all addresses or none; port 0 takes a free one. An IPv6 address takes IPv6 alone,
    /// so that `0.0.0.0:80` and `[::]:80` go together. Needs a tokio runtime.
    ///
    /// # Errors
    /// The first address that cannot be bound, and what to do.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Self, BindError> {
        if addresses.is_empty() {
            return Err(BindError::Nothing);
        }
        let bind = |&address| bind_one(address).map_err(|error| BindError::new(address, error));
        let listeners = addresses.iter().map(bind).collect::<Result<_, _>>()?;
        Ok(Self { listeners, settings: ServerSettings::default() })
    }

    /// Takes listeners that exist already (socket activation, tests).
    ///
    /// # Errors
    /// A listener that the runtime refuses.
    pub fn from_listeners(all: impl IntoIterator<Item = StdListener>) -> io::Result<Self> {
        let listeners = all.into_iter().map(adopt).collect::<io::Result<_>>()?;
        Ok(Self { listeners, settings: ServerSettings::default() })
    }

    /// Other limits.
    #[must_use]
    pub fn with(mut self, settings: ServerSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Where it listens, with the ports that were really taken.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(address, _)| *address).collect()
    }

    /// Serves until the daemon stops: then no new connection, idle ones close, requests in
    /// flight finish (as long as the drain allows). Returns the addresses at once.
    #[must_use = "a port that was left to the system is known from here alone"]
    pub fn serve(self, router: &Router, life: &Lifecycle) -> Vec<SocketAddr> {
        let addresses = self.addresses();
        let permits = Arc::new(Semaphore::new(self.settings.connections));
        for (address, listener) in self.listeners {
            let acceptor = Acceptor {
                listener,
                permits: permits.clone(),
                router: router.clone(),
                settings: self.settings,
                life: life.clone(),
            };
            life.spawn(format!("listener {address}"), acceptor.run());
        }
        addresses
    }
}

fn bind_one(address: SocketAddr) -> io::Result<(SocketAddr, TcpListener)> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    adopt(socket.into())
}

fn adopt(listener: StdListener) -> io::Result<(SocketAddr, TcpListener)> {
    listener.set_nonblocking(true)?;
    Ok((listener.local_addr()?, TcpListener::from_std(listener)?))
}

struct Acceptor {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    router: Router,
    settings: ServerSettings,
    life: Lifecycle,
}

impl Acceptor {
    async fn run(self) {
        loop {
            let accepted = tokio::select! {
                () = self.life.stopping() => return,
                accepted = self.accept() => accepted,
            };
            let Some((stream, peer, permit)) = accepted else { continue };
            let (router, life, settings) = (self.router.clone(), self.life.clone(), self.settings);
            self.life.spawn_detached("connection", async move {
                serve_connection(stream, peer, router, settings, &life).await;
                drop(permit);
            });
        }
    }

    async fn accept(&self) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        let permit = self.permits.clone().acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, peer)) => Some((stream, peer, permit)),
            Err(error) => {
                // Mostly "too many open files", which lasts until a connection ends; accepting
                // at full speed would only burn the processor meanwhile.
                tracing::warn!(error = %error, "connection not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    settings: ServerSettings,
    life: &Lifecycle,
) {
    // hyper's time-out begins with the first byte (hyper #3756): wait for that one here.
    let first = tokio::time::timeout(settings.header_timeout, stream.readable());
    let spoke = tokio::select! {
        () = life.stopping() => false,
        first = first => matches!(first, Ok(Ok(()))),
    };
    if !spoke {
        return;
    }
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr().ok().map(LocalAddress);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(PeerAddress(peer));
        if let Some(local) = local {
            request.extensions_mut().insert(local);
        }
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(settings.head)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = life.stopping() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "connection ended early");
    }
}
