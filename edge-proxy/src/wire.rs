//! A client's socket as hyper sees it.
//!
//! Writes that stall end it, the bytes of each head are kept until the request was judged, the
//! bare answers that hyper gives to a head that it cannot read become ours, and a socket that is
//! closed with input unread takes that input in first: else the kernel would send a reset, and
//! the client might never see the answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::answer::{self, Refusal};
use crate::request::trace;
pub use tap::Tap;

mod tap;

/// No head is longer (hyper's limit is the same).
pub const HEAD: usize = 64 * 1024;
/// What is read at once while the head is kept.
const PIECE: usize = 8 * 1024;
/// How long the rest of a request that nobody reads is taken in.
pub const LINGER: Duration = Duration::from_secs(2);

/// The socket.
#[derive(Debug)]
pub struct Wire {
    socket: TokioIo<TcpStream>,
    tap: Tap,
    patience: Duration,
    stall: Option<Pin<Box<Sleep>>>,
    own: Option<Own>,
    linger: Option<Pin<Box<Sleep>>>,
}

/// Our answer in place of hyper's.
#[derive(Debug)]
struct Own {
    text: Vec<u8>,
    written: usize,
}

impl Wire {
    /// `patience`: how long the client may leave what we write unread.
    #[must_use]
    pub fn new(socket: TcpStream, tap: Tap, patience: Duration) -> Self {
        let socket = TokioIo::new(socket);
        Self { socket, tap, patience, stall: None, own: None, linger: None }
    }

    fn bound<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stall = None;
            return poll;
        }
        let patience = self.patience;
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stall.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// With no answer of ours due, what hyper writes is its own: a bare head, whole, the last
    /// thing that it says on this connection.
    fn replace(&mut self, hypers: &[u8]) {
        if self.own.is_some() {
            return;
        }
        let refusal = match hypers.get(9..12) {
            Some(b"414" | b"431") => Refusal::HeadTooLarge,
            _ => Refusal::BadRequest("its head cannot be read"),
        };
        let id: HeaderValue = trace::new_id();
        let text = answer::raw(refusal, &id).into_bytes();
        self.tap.refuse(refusal, id);
        self.own = Some(Own { text, written: 0 });
    }

    fn write_own(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(own) = &mut self.own {
            let rest = &own.text[own.written..];
            if rest.is_empty() {
                break;
            }
            let poll = Pin::new(&mut self.socket).poll_write(context, rest);
            let written = ready!(self.bound(context, poll))?;
            if let Some(own) = &mut self.own {
                own.written += written;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes in what the client still sends.
    fn drain(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let linger = self.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        if linger.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let mut piece = [0; PIECE];
        loop {
            let mut piece = ReadBuf::new(&mut piece);
            match ready!(Pin::new(self.socket.inner_mut()).poll_read(context, &mut piece)) {
                Ok(()) if !piece.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.tap.wants_more() {
            return Pin::new(&mut this.socket).poll_read(context, buffer);
        }
        let mut piece = [0; PIECE];
        let length = PIECE.min(buffer.remaining());
        let mut piece = ReadBuf::new(&mut piece[..length]);
        ready!(Pin::new(this.socket.inner_mut()).poll_read(context, &mut piece))?;
        this.tap.keep(piece.filled());
        buffer.put_slice(piece.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.tap.is_quiet() {
            self.replace(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let poll = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.bound(context, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_own(context))?;
        ready!(Pin::new(&mut self.socket).poll_flush(context))?;
        self.tap.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_own(context))?;
        ready!(Pin::new(&mut self.socket).poll_shutdown(context))?;
        if self.own.is_some() || self.tap.is_unread() {
            ready!(self.drain(context));
        }
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.tap.is_quiet() {
            self.replace(bytes.first().map_or(&[], |first| first));
            return Poll::Ready(Ok(bytes.iter().map(|slice| slice.len()).sum()));
        }
        let poll = Pin::new(&mut self.socket).poll_write_vectored(context, bytes);
        self.bound(context, poll)
    }
}
