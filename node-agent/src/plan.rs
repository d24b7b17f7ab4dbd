//! What to do next on this node: the target, what the engine shows and what the agent remembers
//! in, actions out. No engine, clock or log here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use zeitwork_model::id::{InstanceId, ProjectId};
use zeitwork_model::instance::InstanceGoal;
use zeitwork_protocol::target::{InstanceTarget, NodeTarget};

use crate::container::specification::settled_quota;
use crate::container::{Container, ContainerState};
use crate::life::Life;

/// Time between SIGTERM and SIGKILL of a container that no target lists.
const STRAY_GRACE: Duration = Duration::from_secs(10);
/// An image stays so long after nothing lists it any more: the operator may be about to.
pub const IMAGE_REST: Duration = Duration::from_mins(10);

/// An image of ours, and for how long nothing has wanted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdleImage {
    /// The engine's id.
    pub image: String,
    /// For how long.
    pub idle: Duration,
}

/// The same while the node's disk is nearly full.
pub const SHORT_IMAGE_REST: Duration = Duration::from_secs(10);

/// All that a plan may look at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// What is wanted.
    pub target: &'a NodeTarget,
    /// What the engine shows.
    pub containers: &'a [Container],
    /// What the agent remembers.
    pub lives: &'a BTreeMap<InstanceId, Life>,
    /// Since when SIGTERM was sent to containers that no target lists.
    pub strays: &'a BTreeMap<String, Instant>,
    /// Containers and instances that an action is under way for.
    pub busy: &'a BTreeSet<String>,
    /// Ended containers whose last lines are still being read.
    pub unread: &'a BTreeSet<String>,
    /// Addresses that the host's rules isolate now, with the project whose they are.
    pub isolated: &'a BTreeMap<Ipv4Addr, ProjectId>,
    /// Images that nothing wants.
    pub idle_images: &'a [IdleImage],
    /// For how long such an image stays.
    pub image_rest: Duration,
    /// How many more starts may be under way at once.
    pub free_starts: usize,
    /// Now.
    pub now: Instant,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Create the instance's container and start it.
    Launch(InstanceId),
    /// Start its container again.
    Start(InstanceId, String),
    /// Freeze it.
    Pause(String),
    /// Thaw it.
    Unpause(String),
    /// Give it the CPU quota of a healthy instance.
    Settle(InstanceId, String),
    /// SIGTERM.
    Terminate(String),
    /// SIGKILL.
    Kill(String),
    /// Remove the ended container.
    Remove(String),
    /// Remove the image.
    RemoveImage(String),
}

/// The next steps; empty once the node is as wanted (or has to wait).
#[must_use]
pub fn plan(view: &View<'_>) -> Vec<Action> {
    let mut free_starts = view.free_starts;
    let mut actions = Vec::new();
    let mut wanted = BTreeSet::new();
    for target in &view.target.instances {
        let container = view.containers.iter().find(|c| c.instance == Some(target.id));
        wanted.extend(container.map(|container| container.id.as_str()));
        let under_way = view.busy.contains(&target.id.to_string())
            || container.is_some_and(|container| view.busy.contains(&container.id));
        if under_way {
            continue;
        }
        let Some(action) = instance_step(view, target, container) else { continue };
        if matches!(action, Action::Launch(_) | Action::Start(..)) {
            if free_starts == 0 {
                continue;
            }
            free_starts -= 1;
        }
        actions.push(action);
    }
    for container in view.containers {
        if !wanted.contains(container.id.as_str()) && !view.busy.contains(&container.id) {
            let terminated = view.strays.get(&container.id).copied();
            actions.extend(ending_step(view, container, terminated, STRAY_GRACE));
        }
    }
    let idle = view.idle_images.iter().filter(|image| image.idle >= view.image_rest);
    actions.extend(idle.map(|image| Action::RemoveImage(image.image.clone())));
    actions
}

fn instance_step(
    view: &View<'_>,
    target: &InstanceTarget,
    container: Option<&Container>,
) -> Option<Action> {
    let new = Life::default();
    let life = view.lives.get(&target.id).unwrap_or(&new);
    let grace = Duration::from_millis(u64::from(target.stop_grace_ms));
    let Some(container) = container else {
        let start = target.goal == InstanceGoal::Run && may_start(view, target, life);
        return start.then_some(Action::Launch(target.id));
    };
    let id = || container.id.clone();
    match (target.goal, container.state) {
        (_, ContainerState::Changing) => None,
        (InstanceGoal::Stop, _) => ending_step(view, container, life.terminated_at, grace),
        (InstanceGoal::Run, ContainerState::Running | ContainerState::Paused)
            if life.given_up.is_some() =>
        {
            ending_step(view, container, life.terminated_at, grace)
        }
        (InstanceGoal::Run, ContainerState::Created | ContainerState::Exited) => {
            may_start(view, target, life).then(|| Action::Start(target.id, id()))
        }
        (InstanceGoal::Run, ContainerState::Paused) => Some(Action::Unpause(id())),
        (InstanceGoal::Run, ContainerState::Running) => {
            let settled = container.cpu_quota == settled_quota(target.limits);
            (life.healthy && !settled).then(|| Action::Settle(target.id, id()))
        }
        (InstanceGoal::Pause, ContainerState::Running) => Some(Action::Pause(id())),
        (InstanceGoal::Pause, _) => None,
    }
}

/// Isolation first, then the start: an address that the host's rules do not know is never used.
fn may_start(view: &View<'_>, target: &InstanceTarget, life: &Life) -> bool {
    life.given_up.is_none()
        && life.not_before.is_none_or(|time| time <= view.now)
        && view.isolated.get(&target.address) == Some(&target.project)
}

/// The next step of a container that shall go: SIGTERM, its grace time, SIGKILL, removal.
fn ending_step(
    view: &View<'_>,
    container: &Container,
    terminated: Option<Instant>,
    grace: Duration,
) -> Option<Action> {
    match container.state {
        ContainerState::Changing => None,
        ContainerState::Created | ContainerState::Exited => {
            let read = !view.unread.contains(&container.id);
            read.then(|| Action::Remove(container.id.clone()))
        }
        ContainerState::Running | ContainerState::Paused => match terminated {
            None => Some(Action::Terminate(container.id.clone())),
            Some(time) if view.now.duration_since(time) >= grace => {
                Some(Action::Kill(container.id.clone()))
            }
            Some(_) => None,
        },
    }
}

#[cfg(test)]
pub(crate) mod tests;
