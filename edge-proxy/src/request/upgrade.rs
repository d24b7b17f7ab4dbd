//! Upgraded connections (WebSocket and the like): bytes both ways until one side ends.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant as Deadline;

use crate::connection::Client;
use crate::upstream::Flight;
use crate::worker::Worker;

/// A client's wish to leave HTTP.
#[derive(Debug)]
pub struct Wanted {
    /// The protocol that it names.
    pub protocol: HeaderValue,
    /// Its connection, once 101 is answered.
    client: OnUpgrade,
}

/// The wish, where it is one that is passed on: a GET without body, HTTP/1.1, and not a version
/// of HTTP itself (h2c would carry requests past every check here).
pub fn wanted<B>(request: &mut Request<B>) -> Option<Wanted> {
    let headers = request.headers();
    let mut protocols = headers.get_all(UPGRADE).iter();
    let (Some(protocol), None) = (protocols.next(), protocols.next()) else { return None };
    let text = protocol.to_str().ok()?;
    let is_http = text.split(',').any(|name| {
        let name = name.trim().to_ascii_lowercase();
        name == "h2c" || name.starts_with("http/") || name.starts_with("tls/")
    });
    let has_body = headers.contains_key(TRANSFER_ENCODING) || headers.contains_key(CONTENT_LENGTH);
    let asks = headers.get_all(CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|value| {
            value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
        })
    });
    let fits = request.method() == Method::GET && request.version() == Version::HTTP_11;
    if !fits || !asks || has_body || is_http {
        return None;
    }
    let protocol = protocol.clone();
    Some(Wanted { protocol, client: hyper::upgrade::on(request) })
}

/// Joins the two connections after a 101. The task holds the exchange's count, so a drain waits
/// for it, and the client's place under the connection cap.
pub fn join<B>(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    wanted: Wanted,
    response: &mut Response<B>,
    flight: Rc<Flight>,
) {
    let instance = hyper::upgrade::on(response);
    client.tap.leave();
    let (worker, client) = (worker.clone(), client.clone());
    let tracked = worker.clone();
    tracked.tasks.spawn_local(async move {
        worker.counters.upgrades.add(1);
        if let (Ok(near), Ok(far)) = tokio::join!(wanted.client, instance) {
            let idle = worker.limits.upgrade_idle;
            let active = Rc::new(Cell::new(Instant::now()));
            let mut near = Watched { inner: TokioIo::new(near), active: active.clone() };
            let mut far = Watched { inner: TokioIo::new(far), active: active.clone() };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                () = silence(active, idle) => {}
                () = worker.cut() => {}
            }
        }
        worker.counters.upgrades.subtract(1);
        drop((flight, client));
    });
}

async fn silence(active: Rc<Cell<Instant>>, idle: Duration) {
    loop {
        let until = active.get() + idle;
        if until <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(Deadline::from_std(until)).await;
    }
}

/// Notes when bytes moved.
struct Watched<T> {
    inner: T,
    active: Rc<Cell<Instant>>,
}

impl<T> Watched<T> {
    fn note<R>(&self, poll: &Poll<R>) {
        if poll.is_ready() {
            self.active.set(Instant::now());
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.note(&poll);
        poll
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.note(&poll);
        poll
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
