//! Takes instances out of service, one safe step after the other.

use zeitwork_model::instance::{InstanceGoal, InstanceStatus};

use super::{Action, Instance, REST, View};

/// Moves what is not wanted any more along: drain, then rest or stop.
pub(super) fn leave(view: &View, planned: &[Action], actions: &mut Vec<Action>) {
    for instance in &view.instances {
        if planned.contains(&Action::Revive(instance.id)) {
            continue;
        }
        actions.extend(next(view, instance));
    }
    // What never served has nothing in flight: it need not drain.
    for action in actions {
        if let Action::Drain(id) = *action
            && view.instances.iter().any(|i| i.id == id && !i.was_healthy)
        {
            *action = Action::Stop(id);
        }
    }
}

fn next(view: &View, instance: &Instance) -> Option<Action> {
    let id = instance.id;
    if instance.status.is_final() {
        return None;
    }
    if instance.status != InstanceStatus::Draining {
        let unwanted = !view.is_current(instance.deployment) && instance.is_member();
        return unwanted.then_some(Action::Drain(id));
    }
    if instance.lost {
        return is_drained(view, instance).then_some(Action::GiveUp(id));
    }
    match instance.goal {
        InstanceGoal::Stop => None,
        InstanceGoal::Pause => (!may_rest(view, instance)).then_some(Action::Stop(id)),
        InstanceGoal::Run if !is_drained(view, instance) => None,
        InstanceGoal::Run if may_rest(view, instance) => Some(Action::Rest(id)),
        InstanceGoal::Run => Some(Action::Stop(id)),
    }
}

/// Nothing can reach it any more: every edge routes without it, and what was in flight has ended
/// or has had its time.
fn is_drained(view: &View, instance: &Instance) -> bool {
    let in_flight = view.edges.in_flight.get(&instance.id).copied().unwrap_or(0);
    let over = instance.draining_at.is_none_or(|since| view.now >= since + instance.drain);
    !view.routed.contains(&instance.id)
        && view.edges.applied
        && (over || in_flight == 0 && !view.edges.silent)
}

/// The deployment that served last stays warm, and so does a paused environment.
fn may_rest(view: &View, instance: &Instance) -> bool {
    let of_live = view.live.as_ref().is_some_and(|live| live.deployment == instance.deployment);
    let warm = view.retired == Some(instance.deployment) || of_live && view.paused;
    let over = instance.rested_at.is_some_and(|since| view.now >= since + REST);
    let sick = instance.deadline_at.is_some();
    warm && !over && !sick && !instance.moving && !view.deleted
}
