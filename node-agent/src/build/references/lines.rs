//! The instructions of a Dockerfile, as every frontend that may read it could see them. Frontends
//! differ in what continues a line and in the escape character; what is refused is refused in each
//! reading. Lines of a here-document count as instructions, as to older frontends they are, unless it
//! is certain that these refuse them.

use std::collections::BTreeSet;

use super::documents;
use crate::build::dockerfile::escape;

/// One way to read a Dockerfile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// What continues a line, and quotes a character.
    pub(super) escape: char,
    /// Two of them at the end of a line are themselves, and continue nothing.
    doubled: bool,
}

/// All ways in which this content may be read.
pub(super) fn readings(content: &[u8]) -> Vec<Reading> {
    let text = String::from_utf8_lossy(content);
    let escapes = BTreeSet::from(['\\', escape(content)]);
    let mut readings = Vec::new();
    for escape in escapes {
        readings.push(Reading { escape, doubled: false });
        if text.contains(&format!("{escape}{escape}")) {
            readings.push(Reading { escape, doubled: true });
        }
    }
    readings
}

impl Reading {
    /// Lines with those that continue them, without comments and empty lines in between.
    pub(super) fn lines(self, text: &str) -> Vec<String> {
        let all: Vec<&str> = text.trim_start_matches('\u{feff}').lines().collect();
        let mut lines: Vec<String> = Vec::new();
        let (mut continues, mut next) = (false, 0);
        while let Some(line) = all.get(next) {
            next += 1;
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let ends = self.continued(line);
            let part = ends.unwrap_or(line);
            match lines.last_mut().filter(|_| continues) {
                Some(last) => last.push_str(part),
                None => lines.push(part.to_owned()),
            }
            continues = ends.is_some();
            if let (false, Some(instruction)) = (continues, lines.last()) {
                next += documents::length(instruction, &all[next..]);
            }
        }
        lines
    }

    /// The line without the escape character that continues it.
    fn continued(self, line: &str) -> Option<&str> {
        let part = line.trim_end().strip_suffix(self.escape)?;
        (!self.doubled || !part.ends_with(self.escape)).then_some(part)
    }
}

/// Whether a line begins a here-document whose end could be mistaken for a continued line, so that
/// the instruction behind it would be read as part of it.
pub(super) fn has_odd_document(line: &str) -> bool {
    line.split_whitespace().any(|word| {
        let Some((descriptor, name)) = word.split_once("<<") else { return false };
        let is_document = descriptor.chars().all(|c| c.is_ascii_digit()) && !name.contains('<');
        is_document && name.contains(['\\', '`', '$'])
    })
}
