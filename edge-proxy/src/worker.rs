//! A worker: one thread, one runtime, its own listeners and its own connections to instances.
//! Nothing of it is shared with another worker on the request path but the table and the counts
//! of what is in flight.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access_log::Batch;
use crate::connection;
use crate::limits::{Connections, Limits};
use crate::metrics::Counters;
use crate::request::retry::Budget;
use crate::routes::table::Table;
use crate::upstream::Upstream;
use crate::upstream::balance::Random;
use crate::upstream::pool::Pool;

/// Log batches and idle connections are looked at this often.
const TICK: Duration = Duration::from_millis(100);
/// Ticks between two looks at idle connections.
const SWEEP: u32 = 10;
/// Connections over the limit that are told so at once; the others are closed without a word.
const REFUSING: usize = 256;
/// Pause after the system refuses a connection (no file descriptors left).
const REFUSED: Duration = Duration::from_millis(50);

/// What a worker is started with.
#[derive(Debug)]
pub struct Seed {
    /// The shared table.
    pub table: Arc<Table>,
    /// The shared count of connections.
    pub connections: Arc<Connections>,
    /// Its own counts.
    pub counters: Arc<Counters>,
    /// Bounds.
    pub limits: Limits,
    /// Its end of the access log.
    pub log: Batch,
    /// Upstreams that leave the table.
    pub departures: mpsc::UnboundedReceiver<Arc<Upstream>>,
    /// Its listeners.
    pub listeners: Vec<std::net::TcpListener>,
    /// True: stop.
    pub stop: watch::Receiver<bool>,
    /// Drop everything.
    pub cut: CancellationToken,
}

/// What the tasks of one worker share.
#[derive(Debug)]
pub struct Worker {
    /// The routes.
    pub table: Arc<Table>,
    /// Its idle connections to instances.
    pub pool: Pool,
    /// Its random numbers.
    pub random: Random,
    /// Its budget for repeating requests.
    pub budget: Budget,
    /// Its counts.
    pub counters: Arc<Counters>,
    /// Its access log.
    pub log: Batch,
    /// Bounds.
    pub limits: Limits,
    /// Connections and upgrades: the drain waits for them.
    pub tasks: TaskTracker,
    /// How connections are read.
    pub builder: http1::Builder,
    connections: Arc<Connections>,
    refusing: Cell<usize>,
    stopping: Cell<bool>,
    lingered: CancellationToken,
    cut: CancellationToken,
}

impl Worker {
    /// Whether answers should end their connections.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Resolves when idle connections are to be closed.
    pub async fn lingered(&self) {
        self.lingered.cancelled().await;
    }

    /// Resolves when everything is to be dropped.
    pub async fn cut(&self) {
        self.cut.cancelled().await;
    }

    /// Notes that an instance could not be reached.
    pub fn failed(&self, upstream: &Upstream) {
        if upstream.health.failed() {
            self.counters.ejections.add(1);
        }
        self.pool.close(upstream);
    }

    fn flush(&self) {
        self.counters.log_dropped.add(self.log.flush() as u64);
    }
}

/// Runs a worker on the present thread until it is stopped and drained.
///
/// # Errors
/// When the system refuses the runtime or a listener.
pub fn run(seed: Seed) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(seed))
}

async fn serve(seed: Seed) -> io::Result<()> {
    let Seed { table, connections, counters, limits, log, departures, listeners, mut stop, cut } =
        seed;
    let mut worker = Worker {
        table,
        pool: Pool::default(),
        random: Random::default(),
        budget: Budget::default(),
        counters,
        log,
        limits,
        tasks: TaskTracker::new(),
        builder: http1::Builder::new(),
        connections,
        refusing: Cell::new(0),
        stopping: Cell::new(false),
        lingered: CancellationToken::new(),
        cut,
    };
    worker.builder = connection::builder(&worker);
    let worker = Rc::new(worker);
    let mut accepting = Vec::new();
    for listener in listeners {
        let listener = TcpListener::from_std(listener)?;
        accepting.push(tokio::task::spawn_local(accept_all(
            worker.clone(),
            listener,
            stop.clone(),
        )));
    }
    let chores = tokio::task::spawn_local(chores(worker.clone(), departures));
    // The sender going away is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
    worker.stopping.set(true);
    for task in accepting {
        let _ = task.await;
    }
    drain(&worker).await;
    chores.abort();
    worker.flush();
    Ok(())
}

async fn drain(worker: &Worker) {
    worker.tasks.close();
    if timeout(worker.limits.linger, worker.tasks.wait()).await.is_err() {
        worker.lingered.cancel();
        let rest = worker.limits.drain.saturating_sub(worker.limits.linger);
        if timeout(rest, worker.tasks.wait()).await.is_err() {
            tracing::warn!(
                connections = worker.tasks.len(),
                "dropped what was not drained in time"
            );
        }
    }
    worker.cut.cancel();
    worker.tasks.wait().await;
    worker.pool.clear();
}

async fn chores(worker: Rc<Worker>, mut departures: mpsc::UnboundedReceiver<Arc<Upstream>>) {
    let mut tick = interval(TICK);
    let mut ticks = 0u32;
    loop {
        tokio::select! {
            Some(upstream) = departures.recv() => worker.pool.close(&upstream),
            _ = tick.tick() => {
                worker.flush();
                ticks = ticks.wrapping_add(1);
                if ticks.is_multiple_of(SWEEP) {
                    worker.pool.sweep();
                }
            }
        }
    }
}

async fn accept_all(worker: Rc<Worker>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => admit(&worker, stream, peer),
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                sleep(REFUSED).await;
            }
        }
    }
    // Connections that the kernel has already accepted would be reset with the listener.
    while let Ok(Ok((stream, peer))) = timeout(Duration::ZERO, listener.accept()).await {
        admit(&worker, stream, peer);
    }
}

fn admit(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr) {
    worker.counters.accepted.add(1);
    let address = peer.ip().to_canonical();
    let Some(place) = worker.connections.admit(address, &worker.limits) else {
        if worker.refusing.get() < REFUSING {
            let refusing = Refusing::count(worker);
            worker.tasks.spawn_local(async move {
                connection::refuse(&refusing.0, stream, peer).await;
                drop(refusing);
            });
        }
        return;
    };
    let open = Open::count(worker);
    worker.tasks.spawn_local(async move {
        connection::serve(open.0.clone(), stream, peer, place).await;
        drop(open);
    });
}

/// Counts a connection over the limit while it is told so.
struct Refusing(Rc<Worker>);

impl Refusing {
    fn count(worker: &Rc<Worker>) -> Self {
        worker.refusing.set(worker.refusing.get() + 1);
        Self(worker.clone())
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.0.refusing.set(self.0.refusing.get() - 1);
    }
}

/// Counts a connection while it is open, also where its task panics.
struct Open(Rc<Worker>);

impl Open {
    fn count(worker: &Rc<Worker>) -> Self {
        worker.counters.connections.add(1);
        Self(worker.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counters.connections.subtract(1);
    }
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
