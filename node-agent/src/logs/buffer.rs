//! Lines of one stream that wait to be written: bounded, the oldest go first.

use std::collections::VecDeque;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Stream;

/// Bytes that wait at most; the database may be away for hours.
const LIMIT: usize = 2 * 1024 * 1024;
/// What a line costs beside its text.
const OVERHEAD: usize = 64;

/// A line with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it was said.
    pub at: OffsetDateTime,
    /// Who said it.
    pub stream: Stream,
    /// What was said.
    pub text: String,
}

/// The waiting lines.
#[derive(Debug, Default)]
pub struct Buffer {
    records: VecDeque<Record>,
    bytes: usize,
    dropped: u64,
}

impl Buffer {
    /// Adds a line; where there is no room, the oldest are dropped.
    pub fn push(&mut self, record: Record) {
        self.bytes += size(&record);
        self.records.push_back(record);
        while self.bytes > LIMIT {
            let Some(oldest) = self.records.pop_front() else { return };
            self.bytes -= size(&oldest);
            self.dropped += 1;
        }
    }

    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Takes the oldest lines, so many bytes of them; a marker stands for what was dropped.
    pub fn take(&mut self, bytes: usize) -> Vec<Record> {
        let mut taken = Vec::new();
        let dropped = std::mem::take(&mut self.dropped);
        if let (1.., Some(first)) = (dropped, self.records.front()) {
            let text = format!("{dropped} lines dropped: they could not be stored in time");
            taken.push(Record { at: first.at, stream: Stream::System, text });
        }
        let mut sum = 0;
        while let Some(record) = self.records.front() {
            sum += size(record);
            if !taken.is_empty() && sum > bytes {
                break;
            }
            self.bytes -= size(record);
            taken.extend(self.records.pop_front());
        }
        taken
    }
}

fn size(record: &Record) -> usize {
    record.text.len() + OVERHEAD
}

#[derive(Serialize)]
struct Stored<'a> {
    seq: i64,
    at: String,
    stream: &'static str,
    text: &'a str,
}

/// The records as one chunk: zstd of JSON lines, numbered from `first`.
///
/// # Errors
/// None in practice: a time that cannot be written, or the compressor.
pub fn encode(records: &[Record], first: i64) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for (seq, record) in (first..).zip(records) {
        let at = record.at.format(&Rfc3339).map_err(std::io::Error::other)?;
        let stored = Stored { seq, at, stream: record.stream.as_str(), text: &record.text };
        serde_json::to_writer(&mut text, &stored)?;
        text.push(b'\n');
    }
    zstd::bulk::compress(&text, zstd::DEFAULT_COMPRESSION_LEVEL)
}
