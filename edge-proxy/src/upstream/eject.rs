//! Passive ejection: who cannot be connected to is skipped for a growing time.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The first pause; doubles with each failure.
const FIRST: Duration = Duration::from_millis(250);
/// The longest pause: a node that comes back is used again within it.
const LONGEST: Duration = Duration::from_secs(15);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The recent failures of one upstream, shared by the workers.
#[derive(Debug, Default)]
pub struct Health {
    failures: AtomicU32,
    /// Milliseconds since the start of the process until which it is skipped.
    until: AtomicU64,
}

impl Health {
    /// Whether it should be skipped now.
    #[must_use]
    pub fn is_ejected(&self) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until != 0 && until > now()
    }

    /// It could not be connected to, or died without an answer. True: a new ejection began.
    pub fn failed(&self) -> bool {
        let began = !self.is_ejected();
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).min(16);
        let pause = FIRST.saturating_mul(1 << failures).min(LONGEST);
        self.until.store(now() + u64::try_from(pause.as_millis()).unwrap_or(0), Ordering::Relaxed);
        began
    }

    /// It answered.
    pub fn answered(&self) {
        // A plain load first: the line stays shared between the workers.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.until.store(0, Ordering::Relaxed);
        }
    }
}

fn now() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}
