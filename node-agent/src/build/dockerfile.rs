//! The parser directives at the top of a Dockerfile: moves `# syntax=` out of the way where its
//! frontend cannot be had. Follows the engine's parser: leading lines `# name=value`, before any
//! other line; nothing of the Dockerfile itself is understood here.

/// A Dockerfile as it goes to the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// What is sent.
    pub content: Vec<u8>,
    /// The frontend image that it names; whether or not it was kept.
    pub frontend: Option<String>,
    /// Whether the directive was moved out of the way.
    pub stripped: bool,
}

/// One directive line.
struct Directive<'a> {
    name: String,
    value: &'a str,
}

/// `# name=value` or `//name=value` as the parser reads it.
fn directive(line: &str) -> Option<Directive<'_>> {
    let line = line.trim();
    let rest = line.strip_prefix('#').or_else(|| line.strip_prefix("//"))?;
    let (name, value) = rest.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    is_name.then(|| Directive { name, value: value.trim() })
}

/// The frontend image that a Dockerfile names.
#[must_use]
pub fn frontend(content: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(content);
    text.trim_start_matches('\u{feff}')
        .lines()
        .map_while(directive)
        .find(|directive| directive.name == "syntax")
        .map(|directive| directive.value.to_owned())
}

/// The character that continues a line.
#[must_use]
pub fn escape(content: &[u8]) -> char {
    let text = String::from_utf8_lossy(content);
    text.trim_start_matches('\u{feff}')
        .lines()
        .map_while(directive)
        .find(|directive| directive.name == "escape")
        .and_then(|directive| directive.value.chars().next())
        .unwrap_or('\\')
}

/// Whether an image may be a frontend at all: it runs code in the engine's build sandbox, so
/// only Docker's own may.
#[must_use]
pub fn is_allowed_frontend(image: &str) -> bool {
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    ["docker/dockerfile", "docker/dockerfile-upstream"].iter().any(|known| {
        image
            .strip_prefix(known)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@']))
    })
}

/// Prepares a Dockerfile; `has_frontend` says whether the engine has the named frontend.
///
/// A `syntax` directive that cannot be followed becomes a plain comment. A plain comment ends the
/// directives, so an `escape` that stands behind it is moved to the first line; the number of
/// lines stays as it was.
#[must_use]
pub fn prepare(content: &[u8], has_frontend: impl Fn(&str) -> bool) -> Prepared {
    let named = frontend(content);
    let keep =
        named.as_deref().is_none_or(|image| is_allowed_frontend(image) && has_frontend(image));
    if keep {
        return Prepared { content: content.to_vec(), frontend: named, stripped: false };
    }
    let text = String::from_utf8_lossy(content);
    let text = text.trim_start_matches('\u{feff}');
    let count = text.lines().map_while(directive).count();
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let behind = lines.split_off(count.min(lines.len()));
    let (escapes, others): (Vec<&str>, Vec<&str>) = lines
        .into_iter()
        .partition(|line| directive(line).is_some_and(|directive| directive.name == "escape"));
    let mut prepared = String::with_capacity(text.len() + 16);
    for escape in escapes {
        prepared.push_str(escape.trim_end_matches(['\r', '\n']));
        prepared.push('\n');
    }
    for other in others {
        match directive(other).filter(|directive| directive.name == "syntax") {
            Some(directive) => {
                prepared.push_str("# (frontend not used) ");
                prepared.push_str(directive.value);
                prepared.push_str(if other.ends_with('\n') { "\n" } else { "" });
            }
            None => prepared.push_str(other),
        }
    }
    prepared.extend(behind);
    Prepared { content: prepared.into_bytes(), frontend: named, stripped: true }
}

#[cfg(test)]
mod tests;
