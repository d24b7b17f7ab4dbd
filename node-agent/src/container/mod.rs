//! Docker Engine, as far as the agent needs it. Nothing of the engine's interface is passed on.

pub mod engine;
pub mod events;
pub mod labels;
pub mod specification;

#[cfg(test)]
mod tests;

use zeitwork_model::id::InstanceId;

/// Where a container is in the engine's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// Exists, was never started (or its start failed).
    Created,
    /// Runs.
    Running,
    /// Frozen.
    Paused,
    /// Ended.
    Exited,
    /// The engine is at work on it; look again.
    Changing,
}

/// A container of ours as the engine shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The engine's id.
    pub id: String,
    /// The instance that it is; absent where its label is none.
    pub instance: Option<InstanceId>,
    /// Where it is.
    pub state: ContainerState,
    /// First process, seen from the host; 0 while it does not run.
    pub pid: i32,
    /// When its last start was, in the engine's words; tells one start from the next.
    pub started_at: String,
    /// Exit code of its last end.
    pub exit_code: i32,
    /// Whether its last end was for lack of memory.
    pub oom_killed: bool,
    /// What the engine says went wrong at its last start.
    pub error: String,
    /// Its CPU quota now, in microseconds a period.
    pub cpu_quota: i64,
}
