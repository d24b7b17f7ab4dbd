//! What socket and requests of one connection tell each other.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::header::HeaderValue;

use super::HEAD;
use crate::answer::Refusal;

/// Capacity that an idle connection may keep.
const KEPT: usize = 2 * 1024;

/// Nothing is due, and everything that was answered has been written.
const QUIET: u8 = 0;
/// A request is being answered.
const BUSY: u8 = 1;
/// The answer is over and perhaps not written yet; the next bytes are a head.
const ANSWERED: u8 = 2;
/// The connection has left HTTP.
const LEFT: u8 = 3;

/// ```text
/// QUIET ── request ──► BUSY ── answer over ──► ANSWERED ── all written ──► QUIET
///                       │ upgrade                  │ request ──► BUSY
///                       ▼
///                      LEFT
/// ```
/// One task uses it; only an upgrade's types ask for more than a cell.
#[derive(Debug, Clone, Default)]
pub struct Tap(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: AtomicU8,
    unread: AtomicBool,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The bytes of a head as they came. hyper hides what it mends in silence; see
    /// [`crate::request::normalize`].
    head: Vec<u8>,
    refused: Option<(Refusal, HeaderValue)>,
}

impl Tap {
    /// Looks at the bytes since the last answer.
    pub fn with_head<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(&self.kept().head)
    }

    /// The head is there: what follows is body, where there is one.
    pub fn close(&self, has_body: bool) {
        self.0.state.store(BUSY, Ordering::Relaxed);
        self.0.unread.store(has_body, Ordering::Relaxed);
    }

    /// The body was read to its end.
    pub fn body_is_over(&self) {
        self.0.unread.store(false, Ordering::Relaxed);
    }

    /// The answer is over: the next bytes are a head.
    pub fn open(&self) {
        if self.state() == LEFT {
            return;
        }
        self.0.state.store(ANSWERED, Ordering::Relaxed);
        let mut kept = self.kept();
        kept.head.clear();
        if kept.head.capacity() > KEPT {
            kept.head = Vec::new();
        }
    }

    /// The connection becomes something else than HTTP.
    pub fn leave(&self) {
        self.0.state.store(LEFT, Ordering::Relaxed);
        self.kept().head = Vec::new();
    }

    /// A head that could not be read, and what was answered.
    #[must_use]
    pub fn refused(&self) -> Option<(Refusal, HeaderValue)> {
        self.kept().refused.take()
    }

    pub(super) fn refuse(&self, refusal: Refusal, id: HeaderValue) {
        self.kept().refused = Some((refusal, id));
    }

    pub(super) fn wants_more(&self) -> bool {
        matches!(self.state(), QUIET | ANSWERED) && self.kept().head.len() < HEAD
    }

    pub(super) fn keep(&self, bytes: &[u8]) {
        self.kept().head.extend_from_slice(bytes);
    }

    pub(super) fn flushed(&self) {
        if self.state() == ANSWERED {
            self.0.state.store(QUIET, Ordering::Relaxed);
        }
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.state() == QUIET
    }

    pub(super) fn is_unread(&self) -> bool {
        self.0.unread.load(Ordering::Relaxed)
    }

    fn state(&self) -> u8 {
        self.0.state.load(Ordering::Relaxed)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
