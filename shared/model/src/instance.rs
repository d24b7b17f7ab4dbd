//! Instances and their states.

use crate::text_enum::text_enum;

text_enum! {
    /// The life of an instance, as the operator sees it.
    ///
    /// ```text
    /// pending ──► starting ──► healthy ◄──► unhealthy
    ///    │           │           │ ▲            │
    ///    │           │           ▼ │ revived    │
    ///    │           └────────► draining ◄──────┘
    ///    ▼                        ▼
    ///  stopped ◄──────────────────┘
    /// ```
    /// From every state that is not final: `failed`, with its reason (given up, or its node is
    /// lost). A report may skip `starting`, which was too short to be seen.
    pub enum InstanceStatus {
        /// Its endpoint is reserved; its node has not started it.
        Pending = "pending",
        /// The container runs, the check has not passed.
        Starting = "starting",
        /// The check passes: it may be routed to.
        Healthy = "healthy",
        /// It was healthy, the check fails now.
        Unhealthy = "unhealthy",
        /// No new request goes to it; those in flight may end. Later it rests, paused.
        Draining = "draining",
        /// Gone as wished.
        Stopped = "stopped",
        /// Gone or given up otherwise; the reason says why.
        Failed = "failed",
    }
}

impl InstanceStatus {
    /// Whether nothing more happens to it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Stopped | Self::Failed)
    }
}

text_enum! {
    /// What the operator wants of an instance on its node.
    pub enum InstanceGoal {
        /// Run and be checked.
        Run = "run",
        /// Stay frozen in memory: no CPU, back within milliseconds.
        Pause = "pause",
        /// Stop (SIGTERM, grace period, SIGKILL) and be removed.
        Stop = "stop",
    }
}
