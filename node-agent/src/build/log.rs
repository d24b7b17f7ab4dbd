//! What a build says: without its secrets, and no more than a log should hold.

use std::sync::{Mutex, PoisonError};

use zeitwork_secrets::Redactor;

use crate::logs::{LogSink, Stream};

/// Bytes of one build's output at most.
const MAXIMUM_OUTPUT: usize = 4 * 1024 * 1024;
/// Bytes of the platform's own lines at most: names of steps are the repository's words too.
const MAXIMUM_SYSTEM: usize = 256 * 1024;
/// Values that everybody knows; hiding them would hide ordinary words of the log.
const ORDINARY: &[&str] = &[
    "production",
    "development",
    "staging",
    "testing",
    "preview",
    "enabled",
    "disabled",
    "localhost",
    "default",
    "verbose",
    "warning",
    "public",
];

/// The log of one build.
#[derive(Debug)]
pub struct BuildLog<'a> {
    sink: &'a LogSink,
    redactor: Redactor,
    said: Mutex<Said>,
}

/// Bytes that were said, also those left out.
#[derive(Debug, Default)]
struct Said {
    output: usize,
    system: usize,
}

impl<'a> BuildLog<'a> {
    /// A log that hides these values.
    pub fn new<'s>(sink: &'a LogSink, secrets: impl IntoIterator<Item = &'s str>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| !ORDINARY.contains(secret));
        Self { sink, redactor: Redactor::new(secrets), said: Mutex::default() }
    }

    /// Says one line.
    pub fn say(&self, stream: Stream, line: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, room) = match stream {
            Stream::System => (&mut said.system, MAXIMUM_SYSTEM),
            Stream::Stdout | Stream::Stderr => (&mut said.output, MAXIMUM_OUTPUT),
        };
        let before = *taken;
        *taken = before.saturating_add(line.len() + 1);
        if *taken <= room {
            self.sink.line(stream, &self.redactor.redact(line));
        } else if before <= room {
            let text = "log limit of 4 MiB reached; further output is left out";
            self.sink.line(Stream::System, text);
        }
    }

    /// A text without the secrets.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        self.redactor.redact(text).into_owned()
    }
}

#[cfg(test)]
mod tests;
