//! Variables of projects and environments.

use crate::text_enum::text_enum;

text_enum! {
    /// When a variable is visible.
    pub enum VariableAt {
        /// Only while the image is built, as a build argument.
        Build = "build",
        /// Only in running instances.
        Run = "run",
        /// In both; a secret only in running instances.
        Both = "both",
    }
}

impl VariableAt {
    /// When a variable is visible of which nothing was said.
    #[must_use]
    pub const fn default_of(secret: bool) -> Self {
        if secret { Self::Run } else { Self::Both }
    }

    /// Whether instances see it.
    #[must_use]
    pub const fn at_run(self) -> bool {
        matches!(self, Self::Run | Self::Both)
    }

    /// Whether builds see it. Secrets never: build arguments stand in the image's history, for
    /// everybody who can read the image.
    #[must_use]
    pub const fn at_build(self, secret: bool) -> bool {
        !secret && matches!(self, Self::Build | Self::Both)
    }
}
