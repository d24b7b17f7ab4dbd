//! Where a reader is in one or several numbered streams. The text of one stream's cursor is the
//! sequence alone; that of several is opaque.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use zeitwork_web::Code;

use crate::error::Refusal;
use crate::extract::page;

/// More than an environment's instances that are ever read together.
const MOST: usize = 200;

/// The last sequence that was read of each stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor(BTreeMap<String, i64>);

impl Cursor {
    /// What a caller sent; a bare number is about `only`, the one stream that there is.
    pub fn read(text: &str, only: Option<&str>) -> Result<Self, Refusal> {
        match (text.parse::<i64>(), only) {
            (Ok(sequence), Some(stream)) if sequence >= 0 => {
                Ok(Self(BTreeMap::from([(stream.to_owned(), sequence)])))
            }
            _ => page::read(text),
        }
    }

    /// The last sequence that was read; none for a stream that was never read.
    pub fn of(&self, stream: &str) -> Option<i64> {
        self.0.get(stream).copied()
    }

    /// Moves on.
    pub fn set(&mut self, stream: &str, sequence: i64) {
        self.0.insert(stream.to_owned(), sequence);
    }

    /// Forgets streams that are no longer read.
    pub fn keep(&mut self, streams: &[String]) {
        self.0.retain(|stream, _| streams.contains(stream));
    }

    /// The text that resumes here.
    pub fn write(&self, only: Option<&str>) -> String {
        match only {
            Some(stream) => self.of(stream).unwrap_or(0).to_string(),
            None => page::write(&self.to_string()),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (stream, sequence)) in self.0.iter().enumerate() {
            write!(f, "{}{stream}:{sequence}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = Code;

    fn from_str(text: &str) -> Result<Self, Code> {
        let mut cursor = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (stream, sequence) = part.split_once(':').ok_or(Code::InvalidCursor)?;
            let sequence: i64 = sequence.parse().map_err(|_| Code::InvalidCursor)?;
            if sequence < 0 || stream.len() > 64 || cursor.0.len() == MOST {
                return Err(Code::InvalidCursor);
            }
            cursor.set(stream, sequence);
        }
        Ok(cursor)
    }
}
