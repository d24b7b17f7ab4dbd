//! Until where the store has what an instance said: stored with the lines, so that an agent that
//! was killed goes on exactly there.

use serde::Deserialize;
use time::OffsetDateTime;

use super::Stream;

/// A line that has pieces bears the time of its first, and comes after later ones of the other
/// output: so long before the last line the engine is asked to begin.
const OVERLAP_SECONDS: i64 = 60;
const NANOSECOND: i64 = 1_000_000_000;

/// The engine's times of the last lines, in nanoseconds; one for each output, because only within
/// one they grow from line to line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Mark {
    stdout: i64,
    stderr: i64,
}

impl Mark {
    /// The mark that a text says; the beginning where it says none.
    #[must_use]
    pub fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Its text, with the number of whoever writes it.
    #[must_use]
    pub fn text(&self, writer: u64) -> String {
        let Self { stdout, stderr } = self;
        serde_json::json!({"stdout": stdout, "stderr": stderr, "writer": writer}).to_string()
    }

    /// Whether a line of this time lies before it. The platform's own words have no mark.
    #[must_use]
    pub fn covers(&self, stream: Stream, at: OffsetDateTime) -> bool {
        match stream {
            Stream::Stdout => nanoseconds(at) <= self.stdout,
            Stream::Stderr => nanoseconds(at) <= self.stderr,
            Stream::System => false,
        }
    }

    /// Puts it behind a line.
    pub fn advance(&mut self, stream: Stream, at: OffsetDateTime) {
        match stream {
            Stream::Stdout => self.stdout = nanoseconds(at),
            Stream::Stderr => self.stderr = nanoseconds(at),
            Stream::System => {}
        }
    }

    /// From when on the engine is asked, in whole seconds; what it covers is among the answer.
    #[must_use]
    pub fn since(&self) -> i32 {
        let last = self.stdout.max(self.stderr) / NANOSECOND;
        i32::try_from(last - OVERLAP_SECONDS).unwrap_or(0).max(0)
    }
}

fn nanoseconds(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos()).unwrap_or(i64::MAX)
}
