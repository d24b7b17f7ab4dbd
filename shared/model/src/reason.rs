//! Why something waits, failed or was skipped: a stable code and a text for people.

use serde::{Deserialize, Serialize};

/// A stable code (`build_failed`, `not_healthy`, …) and a sentence that says what is the matter
/// and, where there is something to do, what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Reason {
    /// Stable, `snake_case`.
    pub code: String,
    /// A sentence for people; may change at any time.
    pub text: String,
}

impl Reason {
    /// A reason from its code and text.
    #[must_use]
    pub fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into() }
    }
}
