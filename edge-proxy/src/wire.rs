//! A client's socket as hyper sees it: writes that stall end it, and the bytes of each head are
//! kept until the request was judged.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// No head is longer (hyper's limit is the same).
pub const HEAD: usize = 64 * 1024;
/// What is read at once while the head is kept.
const PIECE: usize = 8 * 1024;
/// Capacity that an idle connection may keep.
const KEPT: usize = 2 * 1024;

/// The bytes of a head as they came. hyper hides what it mends in silence; see
/// [`crate::request::normalize`].
#[derive(Debug, Clone)]
pub struct Tap(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    open: bool,
    bytes: Vec<u8>,
}

impl Default for Tap {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Kept { open: true, bytes: Vec::new() })))
    }
}

impl Tap {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the bytes since the last answer.
    pub fn with_head<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(&self.kept().bytes)
    }

    /// The head is there: what follows is body.
    pub fn close(&self) {
        self.kept().open = false;
    }

    /// The answer is over: the next bytes are a head.
    pub fn open(&self) {
        let mut kept = self.kept();
        kept.open = true;
        kept.bytes.clear();
        if kept.bytes.capacity() > KEPT {
            kept.bytes = Vec::new();
        }
    }
}

/// The socket.
#[derive(Debug)]
pub struct Wire {
    socket: TokioIo<TcpStream>,
    tap: Tap,
    patience: Duration,
    stall: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    /// `patience`: how long the client may leave what we write unread.
    #[must_use]
    pub fn new(socket: TcpStream, tap: Tap, patience: Duration) -> Self {
        Self { socket: TokioIo::new(socket), tap, patience, stall: None }
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
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut kept = this.tap.kept();
        if !kept.open || kept.bytes.len() >= HEAD {
            drop(kept);
            return Pin::new(&mut this.socket).poll_read(context, buffer);
        }
        let mut piece = [0; PIECE];
        let length = PIECE.min(buffer.remaining());
        let mut piece = ReadBuf::new(&mut piece[..length]);
        ready!(Pin::new(this.socket.inner_mut()).poll_read(context, &mut piece))?;
        kept.bytes.extend_from_slice(piece.filled());
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
        let poll = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.bound(context, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.socket).poll_write_vectored(context, bytes);
        self.bound(context, poll)
    }
}
