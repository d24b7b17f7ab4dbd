//! How often something that keeps ending is started again, and how often that is said.

use std::time::Duration;

/// What ran so long is well.
pub const STABLE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// So many quick ends are no accident any more.
const TOLERATED: u32 = 3;

/// What there is to say about an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It ended, and is started again.
    Ended,
    /// It keeps ending.
    KeepsEnding,
    /// Nothing that was not said.
    Nothing,
}

/// The ends of one thing so far.
#[derive(Debug, Default)]
pub struct Patience {
    quick: u32,
}

impl Patience {
    /// It ended after it ran so long: what to say, and how long to wait.
    pub fn ended(&mut self, ran: Duration) -> (Said, Duration) {
        if ran > STABLE {
            self.quick = 0;
        }
        let pause = FIRST_PAUSE.saturating_mul(2u32.saturating_pow(self.quick)).min(LONGEST_PAUSE);
        self.quick = self.quick.saturating_add(1);
        let said = match self.quick {
            ..TOLERATED => Said::Ended,
            TOLERATED => Said::KeepsEnding,
            _ => Said::Nothing,
        };
        (said, pause)
    }

    /// It has run for [`STABLE`]: whether that is news, because it was said to keep ending.
    pub fn is_stable(&mut self) -> bool {
        std::mem::take(&mut self.quick) >= TOLERATED
    }

    /// Whether it has to show yet that it is stable.
    pub const fn is_tried(&self) -> bool {
        self.quick > 0
    }
}
