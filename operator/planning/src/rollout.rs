//! The rollout of one environment: which instances start, serve, drain, rest and stop, and when
//! a deployment is live or has failed.
//!
//! ```text
//! start ──► healthy ──► routed by every edge ──► live ──► replaced: drain ──► rest ──► stop
//! ```
//! The old instances are the service until the edges have moved: they leave last. What the
//! route table holds is decided by [`crate::routes`] from the same view.

use std::collections::{BTreeMap, BTreeSet};

use time::{Duration, OffsetDateTime};
use zeitwork_model::id::{DeploymentId, InstanceId};
use zeitwork_model::instance::{InstanceGoal, InstanceStatus};
use zeitwork_model::reason::Reason;

mod candidate;
mod leaving;
mod members;

pub(crate) use candidate::is_ready;

#[cfg(test)]
mod tests;

/// How long replaced instances stay frozen in memory, so that a rollback is instant.
pub const REST: Duration = Duration::minutes(10);
/// What a start may take besides the health check's grace: placing it, the engine's own work.
pub const START_MARGIN: Duration = Duration::seconds(30);
/// What the edges may take to follow a route; an edge that is silent is out after 15 s.
pub const ROUTE_MARGIN: Duration = Duration::seconds(60);

/// All that the rollout of one environment depends on.
#[derive(Debug, Clone)]
pub struct View {
    /// The database's time.
    pub now: OffsetDateTime,
    /// The environment or its project was deleted.
    pub deleted: bool,
    /// Somebody paused the environment: nothing shall run, what served shall be back quickly, and
    /// what is wanted waits.
    pub paused: bool,
    /// The deployment of the newest wish, once it has its image and is not live yet.
    pub wanted: Option<Release>,
    /// The deployment that serves.
    pub live: Option<Release>,
    /// The deployment that served before, while its instances may rest.
    pub retired: Option<DeploymentId>,
    /// Instances wanted of each process; none for an unknown one means 1.
    pub replicas: BTreeMap<String, u32>,
    /// All instances that are not gone.
    pub instances: Vec<Instance>,
    /// What the route table sends requests to.
    pub routed: BTreeSet<InstanceId>,
    /// What the edges say.
    pub edges: Edges,
    /// Instances that ended by themselves lately.
    pub failures: Vec<Failures>,
}

/// What the edges say about one environment.
#[derive(Debug, Clone, Default)]
pub struct Edges {
    /// Every edge whose lease lives has applied the newest route of the environment.
    pub applied: bool,
    /// An edge is known that does not renew its lease: it may still send requests to what it
    /// knew, so nothing stops before its drain time is over.
    pub silent: bool,
    /// Requests in flight per instance.
    pub in_flight: BTreeMap<InstanceId, u32>,
}

/// A deployment that runs or shall run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Which.
    pub deployment: DeploymentId,
    /// Since when it may start instances.
    pub since: OffsetDateTime,
    /// Its processes and how long each may take until it is healthy.
    pub processes: BTreeMap<String, Duration>,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Which.
    pub id: InstanceId,
    /// Of which deployment.
    pub deployment: DeploymentId,
    /// Of which process.
    pub process: String,
    /// How it is.
    pub status: InstanceStatus,
    /// What its node was told.
    pub goal: InstanceGoal,
    /// It has been healthy, so it may have been routed to.
    pub was_healthy: bool,
    /// Its node is lost: it may or may not serve.
    pub lost: bool,
    /// Its node shall be emptied.
    pub moving: bool,
    /// Why it is not healthy.
    pub reason: Option<Reason>,
    /// Longest time for requests in flight once it drains.
    pub drain: Duration,
    /// Drains since.
    pub draining_at: Option<OffsetDateTime>,
    /// Rests since.
    pub rested_at: Option<OffsetDateTime>,
    /// Unhealthy instances are replaced from then on.
    pub deadline_at: Option<OffsetDateTime>,
}

/// Instances of one process that ended by themselves since their deployment began to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    /// Of which deployment.
    pub deployment: DeploymentId,
    /// Of which process.
    pub process: String,
    /// How many in the last ten minutes.
    pub count: u32,
    /// When the last one did.
    pub last_at: OffsetDateTime,
    /// Why.
    pub reason: Reason,
}

/// One step. Each is carried out with compare-and-set, in the order of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Reserve an endpoint and create one more instance.
    Start(DeploymentId, String),
    /// Run a draining or resting instance again.
    Revive(InstanceId),
    /// Every edge routes to it: it is live, the one before is retired.
    GoLive(DeploymentId),
    /// It cannot be: the old one stays live.
    Fail(DeploymentId, Reason),
    /// Take it out of the routes; requests in flight may end.
    Drain(InstanceId),
    /// Freeze it: nothing is in flight any more.
    Rest(InstanceId),
    /// Stop it and give up its endpoint.
    Stop(InstanceId),
    /// Its node is lost and it is replaced: count it as gone.
    GiveUp(InstanceId),
}

/// The next steps; empty while there is nothing to do but wait.
#[must_use]
pub fn plan(view: &View) -> Vec<Action> {
    let mut actions = Vec::new();
    if !view.deleted {
        if let Some(wanted) = &view.wanted {
            // Nothing has proven itself while nothing runs: it waits for the end of the pause.
            let verdict =
                if view.paused { candidate::Verdict::Wait } else { candidate::judge(view, wanted) };
            match verdict {
                candidate::Verdict::Fail(reason) => {
                    actions.push(Action::Fail(wanted.deployment, reason));
                    return actions;
                }
                candidate::Verdict::Live => {
                    actions.push(Action::GoLive(wanted.deployment));
                    return actions;
                }
                candidate::Verdict::Wait => members::keep(view, wanted, &mut actions),
            }
        }
        if let Some(live) = &view.live {
            members::keep(view, live, &mut actions);
        }
    }
    leaving::leave(view, &actions.clone(), &mut actions);
    actions
}

/// Why a deployment waits, for people; none where nothing is wanted.
#[must_use]
pub fn waiting(view: &View) -> Option<Reason> {
    let wanted = view.wanted.as_ref()?;
    if view.paused {
        let text = "The environment is paused; once it is resumed, this starts and goes live.";
        return Some(Reason::new("paused", text));
    }
    if candidate::is_ready(view, wanted) {
        return Some(Reason::new(
            "routing",
            "The instances are healthy; the edges take the route.",
        ));
    }
    Some(candidate::progress(view, wanted))
}

impl View {
    /// How many instances of a process are wanted at the moment.
    #[must_use]
    pub fn wanted_replicas(&self, process: &str) -> usize {
        if self.paused || self.deleted {
            return 0;
        }
        self.replicas.get(process).map_or(1, |&n| n as usize)
    }

    /// How many members a process may have once one more was started: those that are wanted, and
    /// those of a node that cannot be counted on, which stay until their successors serve.
    /// [`Action::Start`] is refused beyond it, so that two operators do not start twice.
    #[must_use]
    pub fn most_members(&self, deployment: DeploymentId, process: &str) -> usize {
        let members = self.members(deployment, process);
        self.wanted_replicas(process) + members.filter(|i| i.is_member() && !i.stays()).count()
    }

    /// The instances of one process of a deployment.
    pub fn members<'a>(
        &'a self,
        deployment: DeploymentId,
        process: &'a str,
    ) -> impl Iterator<Item = &'a Instance> {
        self.instances.iter().filter(move |i| i.deployment == deployment && i.process == process)
    }

    fn is_current(&self, deployment: DeploymentId) -> bool {
        !self.deleted
            && [&self.wanted, &self.live].into_iter().flatten().any(|r| r.deployment == deployment)
    }
}

impl Instance {
    /// Runs or shall run, and is not on its way out.
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.goal == InstanceGoal::Run
            && !self.status.is_final()
            && self.status != InstanceStatus::Draining
    }

    /// Passes its check and may be routed to.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.goal == InstanceGoal::Run && self.status == InstanceStatus::Healthy
    }

    /// Its node can be counted on.
    #[must_use]
    pub const fn stays(&self) -> bool {
        !self.lost && !self.moving
    }
}
