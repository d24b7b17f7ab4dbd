//! Variables of projects and environments.

use crate::text_enum::text_enum;

text_enum! {
    /// When a variable is visible.
    pub enum VariableAt {
        /// Only while the image is built, as a build argument.
        Build = "build",
        /// Only in running instances.
        Run = "run",
        /// In both.
        Both = "both",
    }
}

impl VariableAt {
    /// Whether instances see it.
    #[must_use]
    pub const fn at_run(self) -> bool {
        matches!(self, Self::Run | Self::Both)
    }

    /// Whether builds see it.
    #[must_use]
    pub const fn at_build(self) -> bool {
        matches!(self, Self::Build | Self::Both)
    }
}
