//! Deployments and their states.

use crate::text_enum::text_enum;

text_enum! {
    /// The life of a deployment.
    ///
    /// ```text
    /// queued ──► building ──► starting ──► live ──► retired
    ///   │            │         ▲ │                     │
    ///   │            │         │ │                     │
    ///   ├─(an image)─┼─────────┤ │                     │
    ///   │            │         └─┼──(wished again)─────┤
    ///   ▼            ▼           ▼                     │
    ///  failed | cancelled | superseded ────────────────┘
    /// ```
    /// `skipped` follows `queued` alone and is final.
    pub enum DeploymentStatus {
        /// Waits for its commit to be resolved or for a builder.
        Queued = "queued",
        /// Its image is being built.
        Building = "building",
        /// Its instances start, or the edges take its route.
        Starting = "starting",
        /// The environment serves it.
        Live = "live",
        /// It was live, another is now.
        Retired = "retired",
        /// A newer wish came before it was live.
        Superseded = "superseded",
        /// The reason says why.
        Failed = "failed",
        /// Somebody cancelled it.
        Cancelled = "cancelled",
        /// There was nothing to do; the reason says why.
        Skipped = "skipped",
    }
}

/// What happens to a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentEvent {
    /// A builder took it.
    BuildStarted,
    /// Its image exists (built now or found).
    ImageReady,
    /// Every edge routes to it.
    Routed,
    /// Another deployment went live.
    Replaced,
    /// A newer wish came.
    Superseded,
    /// It cannot be.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// There is nothing to do.
    Skipped,
    /// A wish brings it back (rollback, redeploy of the same).
    WishedAgain,
}

impl DeploymentStatus {
    /// The state after an event; none where the event does not apply, which means: look again.
    #[must_use]
    pub const fn after(self, event: DeploymentEvent) -> Option<Self> {
        use DeploymentEvent as Event;
        match (self, event) {
            (Self::Queued, Event::BuildStarted) => Some(Self::Building),
            (Self::Queued | Self::Building, Event::ImageReady) => Some(Self::Starting),
            (Self::Starting, Event::Routed) => Some(Self::Live),
            (Self::Live, Event::Replaced) => Some(Self::Retired),
            (Self::Queued | Self::Building | Self::Starting, Event::Superseded) => {
                Some(Self::Superseded)
            }
            (Self::Queued | Self::Building | Self::Starting, Event::Failed) => Some(Self::Failed),
            (Self::Queued | Self::Building | Self::Starting, Event::Cancelled) => {
                Some(Self::Cancelled)
            }
            (Self::Queued, Event::Skipped) => Some(Self::Skipped),
            (
                Self::Retired | Self::Superseded | Self::Failed | Self::Cancelled,
                Event::WishedAgain,
            ) => Some(Self::Starting),
            _ => None,
        }
    }

    /// Whether nothing more happens to it unless it is wished for again.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Building | Self::Starting | Self::Live)
    }
}
