//! Lines that instances and builds say, on their way to the log store: read (`follow`), limited
//! (`throttle`), written in chunks (`ship`).

pub mod buffer;
pub mod follow;
pub mod mark;
pub mod ship;
pub mod throttle;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use time::OffsetDateTime;
use tokio::sync::mpsc;

/// Bytes of one line at most; the rest is cut off with a marker. A line of megabytes must not
/// cost the agent megabytes.
pub const MAXIMUM_LINE: usize = 16 * 1024;

/// Who said a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The program's standard output.
    Stdout,
    /// The program's standard error.
    Stderr,
    /// The platform itself.
    System,
}

/// One line, without its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Who said it.
    pub stream: Stream,
    /// What was said.
    pub text: String,
    /// When, where that is known better than by its arrival.
    pub at: Option<OffsetDateTime>,
}

/// Where a build or an instance says its lines. Never blocks: what the other end cannot take is
/// dropped and counted, and the reader says so in its place.
#[derive(Debug, Clone)]
pub struct LogSink {
    lines: mpsc::Sender<Line>,
    dropped: Arc<AtomicU64>,
}

/// The other end of a [`LogSink`].
#[derive(Debug)]
pub struct LogLines {
    lines: mpsc::Receiver<Line>,
    dropped: Arc<AtomicU64>,
}

impl Stream {
    /// Its word in the store and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::System => "system",
        }
    }
}

impl LogSink {
    /// A sink and its other end, with room for so many lines.
    #[must_use]
    pub fn channel(capacity: usize) -> (Self, LogLines) {
        let (sender, receiver) = mpsc::channel(capacity);
        let dropped = Arc::new(AtomicU64::new(0));
        (
            Self { lines: sender, dropped: Arc::clone(&dropped) },
            LogLines { lines: receiver, dropped },
        )
    }

    /// Says one line. Line ends in it are kept as spaces, what is too long is cut off.
    pub fn line(&self, stream: Stream, text: &str) {
        self.say(Line { stream, text: cut(text), at: None });
    }

    /// Says one line that is known to have been said at a certain time.
    pub fn line_at(&self, stream: Stream, text: &str, at: OffsetDateTime) {
        self.say(Line { stream, text: cut(text), at: Some(at) });
    }

    fn say(&self, line: Line) {
        if self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl LogLines {
    /// The next line; `None` once every sink is gone and everything was read.
    pub async fn next(&mut self) -> Option<Line> {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let text = format!("{dropped} lines dropped");
            return Some(Line { stream: Stream::System, text, at: None });
        }
        self.lines.recv().await
    }
}

fn cut(text: &str) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    let clean = |part: &str| part.replace(['\r', '\n'], " ");
    if text.len() <= MAXIMUM_LINE {
        return clean(text);
    }
    let end = text.floor_char_boundary(MAXIMUM_LINE);
    format!("{} … ({} bytes cut off)", clean(&text[..end]), text.len() - end)
}
