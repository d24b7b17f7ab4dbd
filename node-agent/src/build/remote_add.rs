//! Finds `ADD` of a URL in a Dockerfile. The engine itself fetches it, from the host's network:
//! past every rule that holds for builds, to services on the host's loopback, wherever a
//! redirect leads. A `RUN` that downloads does the same inside the rules, so `ADD` is refused.
//!
//! Not covered: an `ONBUILD ADD` that a base image of a foreign registry brings along.

use super::dockerfile::escape;

/// What the engine takes for an address instead of a path.
const REMOTE: [&str; 5] = ["http://", "https://", "git://", "ssh://", "git@"];

/// The first `ADD` whose source is an address, or a variable that could make one.
#[must_use]
pub fn find(content: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(content);
    let escape = escape(content);
    let logical = logical_lines(&text, escape);
    // A here-document can end in what looks like a continued line, so that each line counts.
    let physical = text.lines().filter(|_| text.contains("<<")).map(str::to_owned);
    logical.into_iter().chain(physical).find(|line| is_remote_add(line, escape))
}

/// Lines with those that continue them, without comments and empty lines in between.
fn logical_lines(text: &str, escape: char) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut continues = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let ends = line.trim_end().strip_suffix(escape);
        let part = ends.unwrap_or(line);
        match lines.last_mut().filter(|_| continues) {
            Some(last) => last.push_str(part),
            None => lines.push(part.to_owned()),
        }
        continues = ends.is_some();
    }
    lines
}

fn is_remote_add(line: &str, escape: char) -> bool {
    let rest = after_word(line, "ONBUILD").unwrap_or(line);
    let Some(mut rest) = after_word(rest, "ADD") else { return false };
    while let Some(flag) = rest.strip_prefix("--") {
        rest = flag.split_once(char::is_whitespace).map_or("", |(_, rest)| rest).trim_start();
    }
    let words: Vec<String> = match serde_json::from_str(rest.trim()) {
        Ok(words) => words,
        Err(_) => rest
            .split_whitespace()
            .map(|word| word.chars().filter(|&c| c != escape && c != '"' && c != '\'').collect())
            .collect(),
    };
    let (_, sources) = words.split_last().unzip();
    sources.unwrap_or_default().iter().any(|source| could_be_remote(source))
}

/// What follows a word at the start of a line, in any case of letters.
fn after_word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let line = line.trim_start();
    let (first, rest) = line.split_once(char::is_whitespace)?;
    first.eq_ignore_ascii_case(word).then(|| rest.trim_start())
}

/// Whether a source is an address, or begins with a variable in such a way that it could be.
fn could_be_remote(source: &str) -> bool {
    let source = source.to_ascii_lowercase();
    match source.split_once('$') {
        None => REMOTE.iter().any(|remote| source.starts_with(remote)),
        Some((before, _)) => {
            REMOTE.iter().any(|remote| remote.starts_with(before) || before.starts_with(remote))
        }
    }
}

#[cfg(test)]
mod tests;
