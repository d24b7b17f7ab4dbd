//! The one place where wall-clock time is read, so that a test can set it.
//!
//! Deadlines that two processes share are the database's time, not this one; durations within a
//! process are `std::time::Instant`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

/// A source of the present moment in UTC; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<Mutex<OffsetDateTime>>>);

impl Clock {
    /// The host's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still at `at` until it is set; its clones stand with it.
    #[must_use]
    pub fn fixed(at: OffsetDateTime) -> Self {
        Self(Some(Arc::new(Mutex::new(at))))
    }

    /// The present moment.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place of wall-clock time")]
    pub fn now(&self) -> OffsetDateTime {
        match &self.0 {
            None => OffsetDateTime::now_utc(),
            Some(at) => *at.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Moves a fixed clock forward; does nothing to the host's.
    pub fn advance(&self, by: Duration) {
        if let Some(at) = &self.0 {
            *at.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_moves_only_when_told() {
        let clock = Clock::fixed(OffsetDateTime::UNIX_EPOCH);
        let same = clock.clone();
        clock.advance(Duration::from_secs(5));
        assert_eq!(same.now().unix_timestamp(), 5);
    }

    #[test]
    fn the_system_clock_goes_on() {
        assert!(Clock::system().now() > OffsetDateTime::UNIX_EPOCH);
    }
}
