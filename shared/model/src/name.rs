//! Names that people choose, and the rules that make them safe to show, to store and to route.

/// Longest slug in characters.
pub const SLUG_MAXIMUM: usize = 40;
/// Longest label of a host name in octets (RFC 1035 §2.3.4).
pub const LABEL_MAXIMUM: usize = 63;

/// Labels that never become an internal domain: they are, or may become, the platform's own.
pub const RESERVED_LABELS: &[&str] = &[
    "admin",
    "api",
    "app",
    "apps",
    "auth",
    "console",
    "dashboard",
    "docs",
    "edge",
    "git",
    "help",
    "localhost",
    "login",
    "mail",
    "metrics",
    "node",
    "ns1",
    "ns2",
    "operator",
    "root",
    "status",
    "support",
    "system",
    "www",
    "zeitwork",
];

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing left.
    #[error("must not be empty")]
    Empty,
    /// More than the allowed characters.
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// A character outside the allowed set.
    #[error("may contain only a-z, 0-9 and -")]
    Character,
    /// A hyphen at an end.
    #[error("must begin and end with a letter or digit")]
    Hyphen,
    /// A letter, digit or underscore rule of variable names is broken.
    #[error("may contain only A-Z, a-z, 0-9 and _, and must not begin with a digit")]
    Variable,
    /// Ours.
    #[error("is reserved for the platform")]
    Reserved,
}

/// Checks a slug: `[a-z0-9-]`, 1–40 characters, no hyphen at an end.
///
/// # Errors
/// The first rule that is broken.
pub fn check_slug(text: &str) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(InvalidName::Empty);
    }
    if text.len() > SLUG_MAXIMUM {
        return Err(InvalidName::TooLong(SLUG_MAXIMUM));
    }
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err(InvalidName::Character);
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(InvalidName::Hyphen);
    }
    Ok(())
}

/// The slug that a name suggests: lower case, everything else a hyphen, at most 40 characters.
/// Empty where nothing of the name can stand in a slug.
#[must_use]
pub fn slug_of(name: &str) -> String {
    let mut slug = String::new();
    for character in name.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_lowercase() || character.is_ascii_digit() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() == SLUG_MAXIMUM {
            break;
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// Checks the name of an environment variable (POSIX.1-2017, 8.1), at most 128 characters.
/// `PORT` and names that begin with `ZEITWORK_` are set by the platform and refused.
///
/// # Errors
/// The first rule that is broken.
pub fn check_variable_name(text: &str) -> Result<(), InvalidName> {
    const MAXIMUM: usize = 128;
    if text.is_empty() {
        return Err(InvalidName::Empty);
    }
    if text.len() > MAXIMUM {
        return Err(InvalidName::TooLong(MAXIMUM));
    }
    let legal = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !legal || text.as_bytes()[0].is_ascii_digit() {
        return Err(InvalidName::Variable);
    }
    if text == "PORT" || text.starts_with("ZEITWORK_") {
        return Err(InvalidName::Reserved);
    }
    Ok(())
}

/// The label wished for an environment's internal domain: the project's slug for production,
/// `<project>-<environment>` otherwise, cut to 58 octets so that `-` and 4 characters still fit.
#[must_use]
pub fn internal_label(project_slug: &str, environment: &str) -> String {
    const ROOM_FOR_SUFFIX: usize = 5;
    let mut label = if environment == "production" {
        project_slug.to_owned()
    } else {
        format!("{project_slug}-{environment}")
    };
    label.truncate(LABEL_MAXIMUM - ROOM_FOR_SUFFIX);
    label.trim_end_matches('-').to_owned()
}

/// Whether the label is, or may become, the platform's own.
#[must_use]
pub fn is_reserved_label(label: &str) -> bool {
    RESERVED_LABELS.contains(&label)
}
