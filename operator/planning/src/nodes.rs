//! What a node's report says about its instances, as changes of their rows.

use time::{Duration, OffsetDateTime};
use zeitwork_model::instance::{InstanceGoal, InstanceStatus};
use zeitwork_model::node::NodeStatus;

#[cfg(test)]
mod tests;

/// A node that has not reported for so long is lost.
pub const LOST_AFTER: Duration = Duration::seconds(20);
/// An instance that is unhealthy for so long is replaced.
pub const UNHEALTHY_FOR: Duration = Duration::seconds(30);

/// Where an instance really is, by its node's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not started.
    Waiting,
    /// Runs, has not passed its check.
    Starting,
    /// Passes its check.
    Healthy,
    /// Was healthy, fails its check.
    Unhealthy,
    /// Frozen, being stopped, or something that says nothing about the row.
    Other,
    /// Is gone and stays so.
    Stopped,
    /// Is gone or was given up against its goal.
    Failed,
}

/// The row of an instance, as far as a report can change it.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its status.
    pub status: InstanceStatus,
    /// Its goal.
    pub goal: InstanceGoal,
    /// It was healthy before: a report that is older than its goal may still say so.
    pub was_healthy: bool,
    /// The report counts more starts than the row: it is not the process that was healthy.
    pub restarted: bool,
}

/// The status that a report leads to; none: as it is. `current`: the report is about the target
/// that holds the instance's present goal.
#[must_use]
pub fn status_after(row: Row, phase: Phase, current: bool) -> Option<InstanceStatus> {
    use InstanceStatus as Status;
    let next = match (row.status, phase) {
        (status, _) if status.is_final() => return None,
        (_, Phase::Stopped) if row.goal == InstanceGoal::Stop => Status::Stopped,
        // Our own stop ends as 143 or 137: wished for all the same.
        (_, Phase::Failed) if row.goal == InstanceGoal::Stop => Status::Stopped,
        (_, Phase::Failed) => Status::Failed,
        (Status::Draining, _) => return None,
        (Status::Pending, Phase::Starting) => Status::Starting,
        (Status::Starting | Status::Pending, Phase::Healthy) if !row.was_healthy || current => {
            Status::Healthy
        }
        // What was thawed and fails, or ended: it gets the deadline of everything that was healthy.
        (Status::Starting | Status::Pending, Phase::Unhealthy | Phase::Waiting)
            if row.was_healthy && current =>
        {
            Status::Unhealthy
        }
        // It was healthy for a moment that nobody heard of.
        (Status::Starting | Status::Pending, Phase::Unhealthy) if !row.was_healthy => {
            Status::Unhealthy
        }
        (Status::Unhealthy, Phase::Healthy) => Status::Healthy,
        // An agent that was started again has to get to know what runs: the same process is as
        // healthy as it was, until a check says otherwise.
        (Status::Healthy, Phase::Starting) if !row.restarted => return None,
        (Status::Healthy, Phase::Unhealthy | Phase::Starting | Phase::Waiting) => Status::Unhealthy,
        _ => return None,
    };
    (next != row.status).then_some(next)
}

/// The status of a node after looking at its newest report; none: as it is. Silence is silence
/// whatever was asked of the node, and what was asked outlives it.
#[must_use]
pub fn node_after(
    status: NodeStatus,
    returns_to: NodeStatus,
    reported_at: Option<OffsetDateTime>,
    instances: usize,
    now: OffsetDateTime,
) -> Option<NodeStatus> {
    let fresh = reported_at.is_some_and(|at| now < at + LOST_AFTER);
    match (status, fresh) {
        (NodeStatus::Joining, true) => Some(NodeStatus::Ready),
        (NodeStatus::Lost, true) => Some(returns_to),
        (NodeStatus::Joining | NodeStatus::Lost, false) => None,
        (_, false) => Some(NodeStatus::Lost),
        (NodeStatus::Draining, true) if instances == 0 => Some(NodeStatus::Drained),
        _ => None,
    }
}
