//! How much one stream may say. Pure: time comes in as a value.

use std::time::Instant;

/// Lines a second, over longer times.
const LINES: f64 = 1_000.0;
/// Bytes a second, over longer times.
const BYTES: f64 = 1024.0 * 1024.0;
/// Seconds of both that may come at once: a start says much and then little.
const BURST: f64 = 5.0;

/// A bucket of lines and one of bytes.
#[derive(Debug, Clone)]
pub struct Throttle {
    lines: f64,
    bytes: f64,
    filled: Instant,
    dropped: u64,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// It passes.
    Pass,
    /// It passes, and before it a marker that says how many did not.
    PassAfter(u64),
    /// It is dropped.
    Drop,
}

impl Throttle {
    /// Full buckets.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { lines: LINES * BURST, bytes: BYTES * BURST, filled: now, dropped: 0 }
    }

    /// Whether a line of so many bytes passes now.
    pub fn pass(&mut self, bytes: usize, now: Instant) -> Passage {
        let seconds = now.duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.lines = (self.lines + seconds * LINES).min(LINES * BURST);
        self.bytes = (self.bytes + seconds * BYTES).min(BYTES * BURST);
        // After a gap a tenth of a second's worth has to come together first: one marker for
        // many lines, not one for each.
        let least = if self.dropped > 0 { LINES / 10.0 } else { 1.0 };
        let bytes = u32::try_from(bytes).map_or(f64::MAX, f64::from);
        if self.lines < least || self.bytes < bytes {
            self.dropped += 1;
            return Passage::Drop;
        }
        self.lines -= 1.0;
        self.bytes -= bytes;
        match std::mem::take(&mut self.dropped) {
            0 => Passage::Pass,
            dropped => Passage::PassAfter(dropped),
        }
    }

    /// Lines that were dropped since the last one that passed.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// The marker for dropped lines.
#[must_use]
pub fn marker(dropped: u64) -> String {
    format!("{dropped} lines dropped: more than {LINES} lines or 1 MiB a second")
}
