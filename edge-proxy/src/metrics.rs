//! Counts, kept per worker without sharing and added up when they are asked for.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::answer::Refusal;

/// A number that one worker writes and anybody reads.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Up. One writer only, so no atomic addition is needed.
    pub fn add(&self, by: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
    }

    /// Down.
    pub fn subtract(&self, by: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(by), Ordering::Relaxed);
    }

    /// Now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts of one worker.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests that have ended, by class of status (1xx to 5xx).
    pub requests: [Count; 5],
    /// Our own answers, in the order of [`Refusal::CODES`].
    pub refusals: [Count; Refusal::CODES.len()],
    /// Requests that are being answered.
    pub in_flight: Count,
    /// Bytes of answers' bodies.
    pub bytes: Count,
    /// Attempts after the first.
    pub retries: Count,
    /// Ejections begun.
    pub ejections: Count,
    /// Connections accepted.
    pub accepted: Count,
    /// Connections that are open.
    pub connections: Count,
    /// Upgraded connections that are open.
    pub upgrades: Count,
    /// Connections that sent no first byte in time.
    pub silent: Count,
    /// Access log records dropped because the writer was behind.
    pub log_dropped: Count,
}

impl Counters {
    /// A request has ended with a status.
    pub fn ended(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, self.requests.len()) - 1;
        self.requests[class].add(1);
    }
}
