//! Idle connections to instances, per worker and per upstream.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Upstream;
use crate::request::body::Upload;

/// Node closes idle connections after 5 s; ours go first, so that no request meets the close.
const IDLE: Duration = Duration::from_secs(4);
/// A connection that cannot be made in this time is given up for the next instance.
const CONNECT: Duration = Duration::from_secs(1);
/// Data that stays unacknowledged for this long ends the connection. Not less: the kernel counts
/// the time of a closed window too, and an instance may read an upload slowly.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// A returned connection is ready in the same turn of the loop; more is a sign of trouble.
const READY: Duration = Duration::from_millis(20);
const IDLE_PER_UPSTREAM: usize = 256;
/// Largest head of an answer.
const HEAD: usize = 64 * 1024;

/// A connection to one instance.
pub type Sender = SendRequest<Upload>;

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

/// A worker's idle connections, last in, first out.
#[derive(Debug, Default)]
pub struct Pool {
    idle: RefCell<HashMap<u64, Vec<Idle>, FixedState>>,
}

impl Pool {
    /// An idle connection that still looks alive.
    pub async fn take(&self, upstream: &Upstream) -> Option<Sender> {
        loop {
            let idle = self.idle.borrow_mut().get_mut(&upstream.serial)?.pop()?;
            if idle.since.elapsed() > IDLE || idle.sender.is_closed() {
                continue;
            }
            let mut sender = idle.sender;
            if sender.is_ready() || matches!(timeout(READY, sender.ready()).await, Ok(Ok(()))) {
                return Some(sender);
            }
        }
    }

    /// Keeps a connection whose exchange is over.
    pub fn put(&self, upstream: &Upstream, sender: Sender) {
        if upstream.is_gone() || sender.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let idle = idle.entry(upstream.serial).or_default();
        if idle.len() < IDLE_PER_UPSTREAM {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }

    /// Closes what is idle to an upstream that has left the table.
    pub fn close(&self, upstream: &Upstream) {
        self.idle.borrow_mut().remove(&upstream.serial);
    }

    /// Closes what has been idle for too long.
    pub fn sweep(&self) {
        self.idle.borrow_mut().retain(|_, idle| {
            idle.retain(|idle| idle.since.elapsed() < IDLE && !idle.sender.is_closed());
            !idle.is_empty()
        });
    }

    /// Closes all.
    pub fn clear(&self) {
        self.idle.borrow_mut().clear();
    }

    /// Idle connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.idle.borrow().values().map(Vec::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether the host of an instance answers at all. A refusal is an answer: an instance that ends
/// in good order closes its door first and then finishes what is inside.
pub async fn is_reachable(upstream: &Upstream) -> bool {
    match timeout(CONNECT, TcpStream::connect(upstream.address)).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
            )
        }
        Err(_) => false,
    }
}

/// A new connection.
///
/// # Errors
/// When it cannot be made within a second.
pub async fn connect(upstream: &Arc<Upstream>) -> io::Result<Sender> {
    let stream = timeout(CONNECT, TcpStream::connect(upstream.address)).await??;
    stream.set_nodelay(true)?;
    socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::task::spawn_local(async move {
        // How a connection ends is seen by its request; an idle one that ends is nobody's loss.
        let _ = connection.with_upgrades().await;
    });
    Ok(sender)
}
