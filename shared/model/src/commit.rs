//! Names of commits.

/// Whether a text is a whole commit id as git writes it: SHA-1 or SHA-256 in lower case. Nothing
/// else is ever looked up, so no branch, shortened id or option can stand in its place.
#[must_use]
pub fn is_commit_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
