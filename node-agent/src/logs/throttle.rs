//! How much one stream may say: in a moment ([`Throttle`]), and in a day ([`DayLimit`]). Pure:
//! time comes in as a value, that of the line: what is read late was not said all at once.

use time::{Date, OffsetDateTime};

/// Bytes that a stream may say in a day (UTC): an instance that says 1 KiB a second stays below,
/// and a hundred that say too much fill some gigabytes of the database in a week, compressed.
pub const DAY_BYTES: u64 = 100 * 1024 * 1024;

/// Lines a second, over longer times.
const LINES: f64 = 1_000.0;
/// Bytes a second, over longer times.
const BYTES: f64 = 1024.0 * 1024.0;
/// Seconds of both that may come at once: a start says much and then little.
const BURST: f64 = 5.0;
/// Lines of two outputs come out of order by less than this many seconds; more is a clock that was
/// set back.
const DISORDER: f64 = 60.0;

/// A bucket of lines and one of bytes.
#[derive(Debug, Clone)]
pub struct Throttle {
    lines: f64,
    bytes: f64,
    filled: OffsetDateTime,
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

impl Default for Throttle {
    /// Full buckets.
    fn default() -> Self {
        let filled = OffsetDateTime::UNIX_EPOCH;
        Self { lines: LINES * BURST, bytes: BYTES * BURST, filled, dropped: 0 }
    }
}

impl Throttle {
    /// Whether a line of so many bytes that was said at this time passes.
    pub fn pass(&mut self, bytes: usize, at: OffsetDateTime) -> Passage {
        let seconds = (at - self.filled).as_seconds_f64();
        if !(-DISORDER..=0.0).contains(&seconds) {
            self.filled = at;
        }
        let seconds = seconds.max(0.0);
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

/// What a stream has said on one day. An agent that starts anew counts anew.
#[derive(Debug, Clone)]
pub struct DayLimit {
    bytes: u64,
    day: Date,
    said: u64,
    dropped: u64,
}

impl DayLimit {
    /// Nothing was said yet.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self { bytes, day: Date::MIN, said: 0, dropped: 0 }
    }

    /// Whether a line of that day passes. A line of an earlier day than the one before (two
    /// streams meet at midnight) counts as one of the later.
    pub fn pass(&mut self, day: Date) -> Passage {
        let dropped = if day > self.day {
            (self.day, self.said) = (day, 0);
            std::mem::take(&mut self.dropped)
        } else {
            0
        };
        if self.said >= self.bytes {
            self.dropped += 1;
            return Passage::Drop;
        }
        if dropped > 0 { Passage::PassAfter(dropped) } else { Passage::Pass }
    }

    /// Counts a line that has passed; whether it was the last one of the day.
    pub fn count(&mut self, bytes: usize) -> bool {
        self.said = self.said.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.said >= self.bytes
    }

    /// Lines of the day that were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Says that no more lines of the day come.
    #[must_use]
    pub fn reached(&self) -> String {
        format!(
            "the day's limit of {} is reached; lines are dropped until midnight UTC",
            self.size()
        )
    }

    /// Says how many did not come.
    #[must_use]
    pub fn marker(&self, dropped: u64) -> String {
        format!("the day's limit of {} was reached; {dropped} lines dropped", self.size())
    }

    fn size(&self) -> String {
        const MEBIBYTE: u64 = 1024 * 1024;
        match self.bytes {
            bytes if bytes >= MEBIBYTE => format!("{} MiB", bytes / MEBIBYTE),
            bytes => format!("{bytes} bytes"),
        }
    }
}
