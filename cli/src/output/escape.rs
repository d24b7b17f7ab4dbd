//! What others wrote is shown, never obeyed: no text from outside can move the cursor, change the
//! title, hide lines or reverse the direction of a terminal.

use std::fmt::Write;

/// One line: every control character but tab stands as `\xNN`, and those that change the
/// direction of writing as `\u{…}`.
pub fn line(text: &str) -> String {
    escape(text, |c| c == '\t')
}

/// Several lines: line feeds stay as well.
pub fn lines(text: &str) -> String {
    escape(text, |c| c == '\t' || c == '\n')
}

/// JSON text: control characters stand as `\uNNNN`, which JSON reads as the same.
pub fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // Outside of strings JSON has none of them but line feeds.
        if (c.is_control() && c != '\n') || turns_direction(c) {
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

fn escape(text: &str, kept: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if kept(c) {
            shown.push(c);
        } else if c.is_control() {
            let _ = write!(shown, "\\x{:02x}", u32::from(c));
        } else if turns_direction(c) {
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The explicit marks of the bidirectional algorithm and the separators of lines.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}
