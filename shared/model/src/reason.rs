//! Why something waits, failed or was skipped: a stable code and a text for people.

use serde::{Deserialize, Serialize};

/// Code of an instance whose node is lost.
pub const NODE_LOST: &str = "node_lost";
/// Code of an instance whose address its node does not have any more.
pub const ADDRESS_LOST: &str = "address_lost";
/// Code of a deployment whose image no node has any more.
pub const IMAGE_LOST: &str = "image_lost";
/// Ends of instances that say nothing against their deployment: they are replaced at once.
pub const BLAMELESS: [&str; 2] = [NODE_LOST, ADDRESS_LOST];

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
