//! Where a project's code comes from.

use serde::{Deserialize, Serialize};

use crate::text_enum::text_enum;

text_enum! {
    /// The kind of a source.
    pub enum SourceKind {
        /// A repository of the installed GitHub App.
        Github = "github",
        /// Any git repository over HTTPS.
        Git = "git",
        /// A ready image.
        Image = "image",
    }
}

/// Where the code comes from. For GitHub the numeric ids are the identity, the name is display.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Source {
    /// A repository of the installed GitHub App.
    Github {
        /// `owner/name`.
        repository: String,
    },
    /// Any git repository over HTTPS.
    Git {
        /// `https://…`; plain HTTP only for hosts that the operator listed.
        url: String,
    },
}
