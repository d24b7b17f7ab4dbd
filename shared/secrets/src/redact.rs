//! Replaces secret values in log lines, at the source, before a line is stored or sent.
//!
//! A secret is found as it is, and in the forms in which programs like to print it: base 64
//! (at every alignment, so also inside a longer text), percent-encoded and escaped for JSON.
//! Callers hand in whole lines: what was written in two pieces is put together before.

use std::borrow::Cow;

use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// Shorter values would redact ordinary words.
const SHORTEST: usize = 6;
const MASK: &str = "***";

/// Knows the secrets of one build or instance.
#[derive(Default)]
pub struct Redactor {
    /// Longest first, so that no rest of a longer form stays.
    needles: Vec<Zeroizing<String>>,
}

impl Redactor {
    /// A redactor for these values. Values under 6 characters are ignored; of a value with
    /// several lines each line is a secret of its own.
    pub fn new<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Self {
        let mut needles = Vec::new();
        for secret in secrets {
            let secret = secret.as_ref();
            add_forms(&mut needles, secret);
            for line in secret.lines().map(str::trim) {
                add_forms(&mut needles, line);
            }
        }
        needles.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        Self { needles }
    }

    /// Whether there is nothing to hide.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// The line with every secret replaced by `***`.
    #[must_use]
    pub fn redact<'a>(&self, line: &'a str) -> Cow<'a, str> {
        let mut line = Cow::Borrowed(line);
        for needle in &self.needles {
            if line.contains(needle.as_str()) {
                line = Cow::Owned(line.replace(needle.as_str(), MASK));
            }
        }
        line
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} forms)", self.needles.len())
    }
}

fn add_forms(needles: &mut Vec<Zeroizing<String>>, secret: &str) {
    let mut add = |form: String| {
        if form.chars().count() >= SHORTEST {
            needles.push(Zeroizing::new(form));
        }
    };
    if secret.chars().count() < SHORTEST {
        return;
    }
    add(secret.to_owned());
    add(percent_encode(secret, false));
    add(percent_encode(secret, true));
    add(escape_json(secret));
    for skipped in 0..3 {
        add(base64_within(&STANDARD_NO_PAD, secret, skipped));
        add(base64_within(&URL_SAFE_NO_PAD, secret, skipped));
    }
}

/// The part of the base 64 text that depends on the secret alone when `skipped` bytes (modulo 3)
/// stand before it and anything after it.
fn base64_within(engine: &impl base64::Engine, secret: &str, skipped: usize) -> String {
    let mut bytes = Zeroizing::new(vec![0u8; skipped]);
    bytes.extend_from_slice(secret.as_bytes());
    let text = engine.encode(bytes.as_slice());
    // A character carries 6 bits: the first ones hold bits of what stands before.
    let first = (skipped * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    text[first..last].to_owned()
}

/// Percent-encoding of everything but RFC 3986's unreserved characters.
fn percent_encode(text: &str, lower: bool) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ if lower => out.push_str(&format!("%{byte:02x}")),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The short escapes of RFC 8259 §7, as most writers use them.
fn escape_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other => out.push(other),
        }
    }
    out
}
