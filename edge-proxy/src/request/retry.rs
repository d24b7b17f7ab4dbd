//! When a request may be sent again.
//!
//! Where nothing was sent, always. Where something was sent and the connection died before an
//! answer, only what may be repeated by its meaning (RFC 9110 §9.2.2) and has no body, and only
//! within a budget: when all instances fail, retries must not double the load. The same holds
//! where the host has gone from the network and the connection says nothing any more.

use std::cell::Cell;

use hyper::body::Body as _;
use hyper::{Method, Request};

use super::body::Upload;
use crate::upstream::Upstream;
use crate::worker::Worker;

/// Attempts in all.
pub const ATTEMPTS: usize = 4;
/// Part of the requests that may be repeated, in thousandths of a token per request.
const SHARE: u32 = 200;
/// Tokens kept at most, in thousandths; the start is full, so a quiet edge may repeat too.
const FULL: u32 = 20_000;
const COST: u32 = 1_000;

/// A worker's budget for repeating what was sent.
#[derive(Debug)]
pub struct Budget(Cell<u32>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(FULL))
    }
}

impl Budget {
    /// A request came.
    pub fn earn(&self) {
        self.0.set((self.0.get() + SHARE).min(FULL));
    }

    /// Whether one more may be repeated.
    pub fn spend(&self) -> bool {
        let left = self.0.get().checked_sub(COST);
        left.map(|left| self.0.set(left)).is_some()
    }
}

/// Whether the request may be repeated after it was sent.
#[must_use]
pub fn is_repeatable(request: &Request<Upload>) -> bool {
    let method = request.method();
    let idempotent = matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    );
    idempotent && request.body().is_end_stream()
}

/// Whether an instance of the host, other than this one, is there to be asked.
#[must_use]
pub fn is_elsewhere(worker: &Worker, host: &str, tried: &[u64], this: &Upstream) -> bool {
    let site = worker.table.find(host);
    site.is_some_and(|site| {
        site.upstreams.iter().any(|other| {
            other.serial != this.serial
                && !tried.contains(&other.serial)
                && !other.health.is_ejected()
        })
    })
}

/// The same request once more; only for those without body.
#[must_use]
pub fn copy(request: &Request<Upload>) -> Request<Upload> {
    let mut copy = Request::new(Upload::none());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_a_fifth_of_the_requests() {
        let budget = Budget::default();
        while budget.spend() {}
        (0..100).for_each(|_| budget.earn());
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 20);
    }
}
