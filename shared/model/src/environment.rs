//! Environments, their processes and the configuration that a deployment freezes.

use serde::{Deserialize, Serialize};

use crate::text_enum::text_enum;

/// The process that serves the environment's domains.
pub const WEB: &str = "web";

text_enum! {
    /// What an environment is for.
    pub enum EnvironmentKind {
        /// The one that the project's main domain leads to.
        Production = "production",
        /// A long-lived other one.
        Staging = "staging",
        /// One of a pull request.
        Preview = "preview",
    }
}

text_enum! {
    /// Who or what made a wish.
    pub enum Trigger {
        /// A push, told by a webhook or found by a sweep.
        Push = "push",
        /// `POST …/deployments`.
        Manual = "manual",
        /// `POST …/rollback`.
        Rollback = "rollback",
        /// `POST …/redeploy`, a changed variable with `?deploy=true`, or (by the operator) a lost image.
        Redeploy = "redeploy",
    }
}

/// How an instance is asked whether it can serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HealthCheck {
    /// Path of an HTTP check, answered with 200–399; absent: a TCP connection is enough.
    pub path: Option<String>,
    /// Time between two checks once healthy, in milliseconds.
    pub interval_ms: u32,
    /// Time for one check, in milliseconds.
    pub timeout_ms: u32,
    /// Time from start until it must be healthy, in milliseconds.
    pub grace_ms: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { path: None, interval_ms: 5_000, timeout_ms: 2_000, grace_ms: 60_000 }
    }
}

/// What one instance may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Limits {
    /// Thousandths of a core.
    pub cpu_millis: u32,
    /// Mebibytes.
    pub memory_mb: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cpu_millis: 1_000, memory_mb: 512 }
    }
}

/// A process type of an environment, as configured now, or as a deployment froze it. The number
/// of replicas is not part of it: scaling makes no new deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ProcessConfiguration {
    /// Replaces the image's command; empty: as the image says.
    #[serde(default)]
    pub command: Vec<String>,
    /// Where it listens; absent: the image's one exposed TCP port, else 8080.
    #[serde(default)]
    pub port: Option<u16>,
    /// How it is checked.
    #[serde(default)]
    pub health: HealthCheck,
    /// What an instance may use.
    #[serde(default)]
    pub limits: Limits,
    /// Longest time that requests in flight may take when it is replaced.
    #[serde(default = "default_drain_seconds")]
    pub drain_seconds: u32,
}

impl Default for ProcessConfiguration {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            port: None,
            health: HealthCheck::default(),
            limits: Limits::default(),
            drain_seconds: default_drain_seconds(),
        }
    }
}

const fn default_drain_seconds() -> u32 {
    30
}
