//! Which queued build goes to which node, and what becomes of builds that wait or lose their
//! node.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;
use zeitwork_model::id::{BuildId, NodeId, OrganisationId, ProjectId};
use zeitwork_model::reason::Reason;

#[cfg(test)]
mod tests;

/// All builds that are not over, and the nodes that build.
#[derive(Debug, Clone)]
pub struct View {
    /// The database's time.
    pub now: OffsetDateTime,
    /// Queued and running builds.
    pub builds: Vec<Build>,
    /// Ready nodes with the builder role that can build now.
    pub nodes: Vec<Builder>,
    /// Why a node of these cannot build now, by its own words.
    pub hindrance: Option<String>,
}

/// A build that is not over.
#[derive(Debug, Clone)]
pub struct Build {
    /// Which.
    pub id: BuildId,
    /// Whose.
    pub organisation: OrganisationId,
    /// Of which project: one at a time.
    pub project: ProjectId,
    /// Higher goes first.
    pub priority: i32,
    /// Since when it waits.
    pub created_at: OffsetDateTime,
    /// Not before.
    pub not_before: OffsetDateTime,
    /// End of its waiting, or of its running.
    pub deadline_at: Option<OffsetDateTime>,
    /// Who has it, until when; none while it is queued.
    pub lease: Option<(NodeId, OffsetDateTime)>,
    /// Attempts begun.
    pub attempt: i32,
    /// Attempts at most.
    pub maximum_attempts: i32,
    /// Somebody asked for its end.
    pub cancel_requested: bool,
    /// A deployment waits for it.
    pub is_wanted: bool,
    /// Its source cannot be read now, and why: it goes to no builder meanwhile.
    pub unreadable: Option<Reason>,
}

/// A node that builds.
#[derive(Debug, Clone)]
pub struct Builder {
    /// Which.
    pub id: NodeId,
    /// Builds at once.
    pub room: usize,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Give it to a node.
    Claim(BuildId, NodeId),
    /// Its node fell silent: the next attempt.
    Requeue(BuildId),
    /// It is over.
    Fail(BuildId, Reason),
    /// Somebody asked for its end.
    Cancel(BuildId),
    /// Nobody waits for it any more.
    Supersede(BuildId),
}

/// Builds that a node runs at once: each takes about two cores, a small node runs one.
#[must_use]
pub fn room(cores: u32) -> usize {
    (cores as usize / 2).max(1)
}

/// The next steps; empty while there is nothing to do but wait.
#[must_use]
pub fn plan(view: &View) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut open = Vec::new();
    for build in &view.builds {
        match settle(view, build) {
            Some(action) => actions.push(action),
            None => open.push(build),
        }
    }
    actions.extend(assign(view, &open));
    actions
}

fn settle(view: &View, build: &Build) -> Option<Action> {
    if build.cancel_requested {
        return Some(Action::Cancel(build.id));
    }
    if !build.is_wanted {
        return Some(Action::Supersede(build.id));
    }
    let over = build.deadline_at.is_some_and(|deadline| deadline <= view.now);
    match build.lease {
        None if over && build.unreadable.is_some() => {
            build.unreadable.clone().map(|reason| Action::Fail(build.id, reason))
        }
        None if over => {
            let text = match &view.hindrance {
                Some(hindrance) if view.nodes.is_empty() => {
                    format!("No builder could work for 30 minutes: {hindrance}.")
                }
                _ if view.nodes.is_empty() => {
                    "No builder was ready for 30 minutes: no node with the builder role reports."
                        .to_owned()
                }
                _ => "No builder had room for 30 minutes.".to_owned(),
            };
            Some(Action::Fail(build.id, Reason::new("no_builder", text)))
        }
        Some(_) if over => {
            Some(Action::Fail(build.id, Reason::new("timeout", "The build took too long.")))
        }
        Some((_, until)) if until <= view.now => Some(if build.attempt >= build.maximum_attempts {
            let text = format!("The builder fell silent in each of {} attempts.", build.attempt);
            Action::Fail(build.id, Reason::new("builder_lost", text))
        } else {
            Action::Requeue(build.id)
        }),
        _ => None,
    }
}

fn may_start(view: &View, build: &Build) -> bool {
    build.not_before <= view.now && build.unreadable.is_none()
}

/// Why a queued build waits, for people; none for one that is given to a node now or has one.
#[must_use]
pub fn waiting(view: &View, planned: &[Action], build: &Build) -> Option<Reason> {
    let is_planned = planned.iter().any(|action| action.build() == build.id);
    if build.lease.is_some() || is_planned {
        return None;
    }
    if let Some(reason) = &build.unreadable {
        return Some(reason.clone());
    }
    if let (true, Some(hindrance)) = (view.nodes.is_empty(), &view.hindrance) {
        return Some(Reason::new("no_builder", format!("Waits for a builder: {hindrance}.")));
    }
    let is_busy = |other: &Build| other.lease.is_some() && other.project == build.project;
    let (code, text) = if build.not_before > view.now {
        ("builder_lost", "Its builder fell silent; another attempt follows.")
    } else if view.nodes.is_empty() {
        ("no_builder", "Waits for a builder: no node with the builder role is ready.")
    } else if view.builds.iter().any(is_busy) {
        ("project_builds", "Waits for another build of the project: they run one at a time.")
    } else {
        ("builders_busy", "Waits for a builder: all of them are at work.")
    };
    Some(Reason::new(code, text))
}

impl Action {
    /// The build that it is about.
    #[must_use]
    pub const fn build(&self) -> BuildId {
        match self {
            Self::Claim(id, _)
            | Self::Requeue(id)
            | Self::Fail(id, _)
            | Self::Cancel(id)
            | Self::Supersede(id) => *id,
        }
    }
}

/// One at a time for a project; organisations take turns, the one with the fewest builds first.
fn assign(view: &View, open: &[&Build]) -> Vec<Action> {
    let mut busy: BTreeSet<ProjectId> = BTreeSet::new();
    let mut load: BTreeMap<OrganisationId, usize> = BTreeMap::new();
    let mut room: BTreeMap<NodeId, usize> = view.nodes.iter().map(|n| (n.id, n.room)).collect();
    for build in open {
        if let Some((node, _)) = build.lease {
            busy.insert(build.project);
            *load.entry(build.organisation).or_default() += 1;
            room.entry(node).and_modify(|left| *left = left.saturating_sub(1));
        }
    }
    let mut queue: Vec<&&Build> =
        open.iter().filter(|b| b.lease.is_none() && may_start(view, b)).collect();
    let mut actions = Vec::new();
    while let Some(best) = (0..queue.len()).min_by_key(|&i| {
        let b = queue[i];
        let turn = load.get(&b.organisation).copied().unwrap_or(0);
        (std::cmp::Reverse(b.priority), turn, b.created_at, b.id)
    }) {
        let build = queue.swap_remove(best);
        if busy.contains(&build.project) {
            continue;
        }
        let Some((&node, _)) =
            room.iter().filter(|(_, left)| **left > 0).max_by_key(|(id, left)| (**left, **id))
        else {
            break;
        };
        room.entry(node).and_modify(|left| *left -= 1);
        busy.insert(build.project);
        *load.entry(build.organisation).or_default() += 1;
        actions.push(Action::Claim(build.id, node));
    }
    actions
}
