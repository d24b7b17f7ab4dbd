//! Builds and their states.

use crate::text_enum::text_enum;

text_enum! {
    /// The life of a build.
    ///
    /// ```text
    /// queued ──► running ──► succeeded
    ///  │  ▲         │  │
    ///  │  └─────────┘  │  lease lost, or handed back: the next attempt
    ///  ▼               ▼
    ///  failed | cancelled | superseded
    /// ```
    pub enum BuildStatus {
        /// Waits for a builder, or for its next attempt.
        Queued = "queued",
        /// A node holds its lease.
        Running = "running",
        /// The image exists.
        Succeeded = "succeeded",
        /// The reason says why.
        Failed = "failed",
        /// Somebody cancelled it.
        Cancelled = "cancelled",
        /// A newer wish came.
        Superseded = "superseded",
    }
}

/// What happens to a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildEvent {
    /// A node was given the lease.
    Claimed,
    /// The lease ran out and attempts are left.
    LeaseLost,
    /// The image exists.
    Succeeded,
    /// It cannot be built, or the last attempt was lost.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// A newer wish came.
    Superseded,
}

impl BuildStatus {
    /// The state after an event; none where the event does not apply.
    #[must_use]
    pub const fn after(self, event: BuildEvent) -> Option<Self> {
        match (self, event) {
            (Self::Queued, BuildEvent::Claimed) => Some(Self::Running),
            (Self::Running, BuildEvent::LeaseLost) => Some(Self::Queued),
            (Self::Running, BuildEvent::Succeeded) => Some(Self::Succeeded),
            (Self::Queued | Self::Running, BuildEvent::Failed) => Some(Self::Failed),
            (Self::Queued | Self::Running, BuildEvent::Cancelled) => Some(Self::Cancelled),
            (Self::Queued | Self::Running, BuildEvent::Superseded) => Some(Self::Superseded),
            _ => None,
        }
    }

    /// Whether nothing more happens to it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}
