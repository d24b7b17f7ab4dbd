//! One client's connection, from the first byte to the last.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;

use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::answer::{self, Refusal};
use crate::limits::Place;
use crate::request::{self, finish, trace};
use crate::wire::{HEAD, LINGER, Tap, Wire};
use crate::worker::Worker;

/// What all requests of a connection share.
#[derive(Debug)]
pub struct Client {
    /// Its address.
    pub peer: IpAddr,
    /// The same as `X-Forwarded-For` says it.
    pub address: HeaderValue,
    /// The same as `Forwarded` says it (RFC 7239 §6).
    pub node: String,
    /// The port that it connected to.
    pub port: HeaderValue,
    /// The raw bytes of its heads.
    pub tap: Tap,
    _place: Place,
}

impl Client {
    fn new(peer: SocketAddr, local: SocketAddr, place: Place) -> Self {
        let peer = peer.ip().to_canonical();
        let text = peer.to_string();
        let unknown = || HeaderValue::from_static("unknown");
        let node = if peer.is_ipv6() { format!("\"[{text}]\"") } else { text.clone() };
        Self {
            peer,
            address: HeaderValue::from_str(&text).unwrap_or_else(|_| unknown()),
            node,
            port: HeaderValue::from(local.port()),
            tap: Tap::default(),
            _place: place,
        }
    }
}

/// How every connection of a worker is read.
#[must_use]
pub fn builder(worker: &Worker) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(worker.limits.head)
        .max_headers(worker.limits.fields)
        .max_buf_size(HEAD);
    builder
}

/// Serves a connection until it ends.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: SocketAddr, place: Place) {
    let Ok(local) = stream.local_addr() else { return };
    if stream.set_nodelay(true).is_err() || !has_spoken(&worker, &stream).await {
        return;
    }
    let client = Rc::new(Client::new(peer, local, place));
    let (tap, peer) = (client.tap.clone(), client.peer);
    let wire = Wire::new(stream, tap.clone(), worker.limits.unread);
    let serving = worker.clone();
    let service = service_fn(move |request| {
        let answer = request::serve(serving.clone(), client.clone(), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    {
        let connection = worker.builder.serve_connection(wire, service).with_upgrades();
        let mut connection = pin!(connection);
        // An error here is the client's: it left, was too slow, or sent what is no HTTP.
        let is_over = tokio::select! {
            _ = connection.as_mut() => true,
            () = worker.lingered() => false,
        };
        if !is_over {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                _ = connection => {}
                () = worker.cut() => {}
            }
        }
    }
    if let Some((refusal, id)) = tap.refused() {
        finish::unread(&worker, peer, refusal, id);
    }
}

/// Answers a connection that is one too many, and closes it.
pub async fn refuse(worker: &Worker, mut stream: TcpStream, peer: SocketAddr) {
    let id = trace::new_id();
    let answer = answer::raw(Refusal::Limit, &id);
    finish::unread(worker, peer.ip().to_canonical(), Refusal::Limit, id);
    // A fresh socket takes a few hundred bytes at once; if not, closing says enough.
    if stream.try_write(answer.as_bytes()).is_err() || stream.shutdown().await.is_err() {
        return;
    }
    // Closed with its request unread, the connection would be reset and the answer lost.
    let mut rest = [0; 1024];
    let read_all = async { while matches!(stream.read(&mut rest).await, Ok(1..)) {} };
    tokio::select! {
        _ = timeout(LINGER, read_all) => {}
        () = worker.lingered() => {}
    }
}

/// Waits for the first byte: hyper would wait for ever for one that never comes.
async fn has_spoken(worker: &Worker, stream: &TcpStream) -> bool {
    let mut byte = [0];
    tokio::select! {
        peeked = timeout(worker.limits.first_byte, stream.peek(&mut byte)) => if let Ok(peeked) = peeked { peeked.is_ok_and(|length| length > 0) } else {
            worker.counters.silent.add(1);
            false
        },
        () = worker.lingered() => false,
    }
}
