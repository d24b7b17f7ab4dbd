//! Words of an instruction: its flags, and variables in it, as the engine's parser takes them.

use std::collections::BTreeMap;

/// The flags in front of an instruction's arguments, without quotes, and what follows them.
pub(super) fn flags(line: &str) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = line.trim_start();
    while rest.starts_with("--") {
        let (flag, behind) = flag(rest);
        if flag == "--" {
            return (flags, behind);
        }
        flags.push(flag);
        rest = behind;
    }
    (flags, rest)
}

/// One flag: quotes go, and a backslash stands for the character behind it.
fn flag(text: &str) -> (String, &str) {
    let mut flag = String::new();
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (None, c) if c.is_whitespace() => return (flag, text[at..].trim_start()),
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), c) if c == open => quote = None,
            (_, '\\') => flag.extend(characters.next().map(|(_, next)| next)),
            (_, c) => flag.push(c),
        }
    }
    (flag, "")
}

/// What follows a word at the start of a line, in any case of letters.
pub(super) fn after_word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let line = line.trim_start();
    let (first, rest) = line.split_once(char::is_whitespace)?;
    first.eq_ignore_ascii_case(word).then(|| rest.trim_start())
}

/// Values of the variables that may stand in a `FROM`; none for one that is not certain.
pub(super) type Values = BTreeMap<String, Option<String>>;

/// A word with its variables replaced; none where that cannot be told for certain.
pub(super) fn expand(word: &str, values: &Values) -> Option<String> {
    let word = ['"', '\'']
        .iter()
        .find_map(|&quote| word.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(word);
    if word.contains(['\\', '`', '"', '\'']) {
        return None;
    }
    let mut expanded = String::new();
    let mut rest = word;
    while let Some((before, behind)) = rest.split_once('$') {
        expanded.push_str(before);
        let (value, after) = if let Some(braced) = behind.strip_prefix('{') {
            braces(braced, values)?
        } else {
            let end = behind.find(|c| !is_name_character(c)).unwrap_or(behind.len());
            (value(&behind[..end], values)?.unwrap_or_default(), &behind[end..])
        };
        expanded.push_str(&value);
        rest = after;
    }
    expanded.push_str(rest);
    Some(expanded)
}

/// `NAME}`, `NAME:-word}`, `NAME-word}`, `NAME:+word}`, `NAME+word}`; nothing else is followed.
fn braces<'a>(text: &'a str, values: &Values) -> Option<(String, &'a str)> {
    let (inner, after) = text.split_once('}')?;
    let end = inner.find(|c| !is_name_character(c)).unwrap_or(inner.len());
    let (name, operation) = inner.split_at(end);
    let found = value(name, values)?;
    let colon = operation.starts_with(':');
    let is_set = found.as_ref().is_some_and(|value| !colon || !value.is_empty());
    let operation = operation.strip_prefix(':').unwrap_or(operation);
    let other = operation.get(1..).filter(|other| !other.contains('$'));
    let value = match (operation.chars().next(), is_set) {
        (None, _) if !colon => found.unwrap_or_default(),
        (Some('-'), true) => found?,
        (Some('-'), false) | (Some('+'), true) => other?.to_owned(),
        (Some('+'), false) => String::new(),
        _ => return None,
    };
    Some((value, after))
}

/// The value of a name, if it has one; the outer none: it is not certain.
#[allow(clippy::option_option, reason = "three answers: a value, none, not certain")]
fn value(name: &str, values: &Values) -> Option<Option<String>> {
    if name.is_empty() {
        return None;
    }
    match values.get(name) {
        None => Some(None),
        Some(Some(value)) => Some(Some(value.clone())),
        Some(None) => None,
    }
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
