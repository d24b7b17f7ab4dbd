//! Keeps as many instances of a deployment as are wanted.

use time::Duration;
use zeitwork_model::instance::{InstanceGoal, InstanceStatus};

use super::{Action, Instance, Release, View};

/// Longest pause before an instance that ended by itself is replaced.
const LONGEST_PAUSE: Duration = Duration::minutes(5);

/// Starts what is missing and drains what is too much, for each process.
pub(super) fn keep(view: &View, release: &Release, actions: &mut Vec<Action>) {
    for process in release.processes.keys() {
        keep_process(view, release, process, actions);
    }
    for instance in &view.instances {
        let known = release.processes.contains_key(&instance.process);
        if instance.deployment == release.deployment && !known && instance.is_member() {
            actions.push(Action::Drain(instance.id));
        }
    }
}

fn keep_process(view: &View, release: &Release, process: &str, actions: &mut Vec<Action>) {
    let wanted = view.wanted_replicas(process);
    let is_live = view.live.as_ref() == Some(release);
    let (mut staying, going): (Vec<&Instance>, Vec<&Instance>) = view
        .members(release.deployment, process)
        .filter(|i| i.is_member())
        .partition(|i| i.stays() && !(is_live && is_given_up(view, i)));
    // The sick leave before others are started: they serve nobody, and as long as they are members
    // their place is taken.
    let (sick, going): (Vec<&Instance>, Vec<&Instance>) =
        going.into_iter().partition(|i| !i.is_healthy() && !i.lost);
    actions.extend(sick.into_iter().map(|i| Action::Drain(i.id)));
    if staying.len() < wanted {
        fill(view, release, process, wanted - staying.len(), actions);
    }
    // The sick leave first, then the newest: the oldest have proven themselves.
    staying.sort_by_key(|i| (!i.is_healthy(), i.id));
    let healthy = staying.iter().take(wanted).filter(|i| i.is_healthy()).count();
    for surplus in staying.into_iter().skip(wanted) {
        actions.push(Action::Drain(surplus.id));
    }
    // Those of a node that is lost or to be emptied serve until their successors do.
    if healthy >= wanted {
        actions.extend(going.into_iter().map(|i| Action::Drain(i.id)));
    }
}

fn fill(
    view: &View,
    release: &Release,
    process: &str,
    mut missing: usize,
    actions: &mut Vec<Action>,
) {
    for instance in view.members(release.deployment, process) {
        if missing > 0 && can_be_revived(view, instance) {
            actions.push(Action::Revive(instance.id));
            missing -= 1;
        }
    }
    if may_start(view, release, process) {
        let start = Action::Start(release.deployment, process.to_owned());
        actions.extend(std::iter::repeat_n(start, missing));
    }
}

fn can_be_revived(view: &View, instance: &Instance) -> bool {
    instance.status == InstanceStatus::Draining
        && instance.goal != InstanceGoal::Stop
        && instance.was_healthy
        && instance.stays()
        && !is_given_up(view, instance)
}

fn is_given_up(view: &View, instance: &Instance) -> bool {
    instance.deadline_at.is_some_and(|deadline| deadline <= view.now)
}

/// What ended by itself is replaced after a pause that doubles: 2 s, 4 s, 8 s, …
fn may_start(view: &View, release: &Release, process: &str) -> bool {
    let failures =
        view.failures.iter().find(|f| f.deployment == release.deployment && f.process == process);
    failures.is_none_or(|f| {
        let pause = Duration::seconds(1i64 << f.count.min(9)).min(LONGEST_PAUSE);
        view.now >= f.last_at + pause
    })
}
