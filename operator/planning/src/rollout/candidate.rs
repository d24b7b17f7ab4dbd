//! Whether the wanted deployment can go live, must wait, or has failed.

use time::Duration;
use zeitwork_model::reason::Reason;

use super::{Failures, Instance, ROUTE_MARGIN, Release, START_MARGIN, View};
use crate::routes;

/// What is to be done with the wanted deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its instances start, or the edges take its route.
    Wait,
    /// Every edge routes to it.
    Live,
    /// It cannot be.
    Fail(Reason),
}

pub(super) fn judge(view: &View, wanted: &Release) -> Verdict {
    if let Some(failed) = view.failures.iter().find(|f| f.deployment == wanted.deployment) {
        return Verdict::Fail(Reason {
            text: ended(view, wanted, failed),
            ..failed.reason.clone()
        });
    }
    let grace = wanted.processes.values().max().copied().unwrap_or(Duration::ZERO);
    let waited = view.now - wanted.since;
    if !is_ready(view, wanted) {
        if waited > grace + START_MARGIN {
            return Verdict::Fail(progress(view, wanted));
        }
        return Verdict::Wait;
    }
    let routed = routes::serving(view).iter().map(|i| i.id).collect();
    if view.routed == routed && view.edges.applied {
        return Verdict::Live;
    }
    if waited > grace + START_MARGIN + ROUTE_MARGIN {
        let text = "The instances are healthy, but not every edge has taken the new route.";
        return Verdict::Fail(Reason::new("not_routed", text));
    }
    Verdict::Wait
}

/// Whether every process has as many healthy instances as are wanted.
pub(crate) fn is_ready(view: &View, release: &Release) -> bool {
    release.processes.keys().all(|process| {
        let healthy =
            view.members(release.deployment, process).filter(|i| i.is_healthy() && !i.lost).count();
        healthy >= view.wanted_replicas(process)
    })
}

/// "2 of 3 instances healthy; …" with the reason of the first that is not.
pub(super) fn progress(view: &View, release: &Release) -> Reason {
    let wanted: usize = release.processes.keys().map(|p| view.wanted_replicas(p)).sum();
    let members: Vec<&Instance> = view
        .instances
        .iter()
        .filter(|i| i.deployment == release.deployment && i.is_member())
        .collect();
    let healthy = members.iter().filter(|i| i.is_healthy()).count();
    let sick = members.iter().filter(|i| !i.is_healthy()).find_map(|i| i.reason.clone());
    let what = match (&sick, members.len() < wanted) {
        (Some(reason), _) => reason.text.clone(),
        (None, true) => "no ready node that has its image has room".into(),
        (None, false) => "the check has not passed yet".into(),
    };
    let code = sick.map_or_else(|| "not_healthy".into(), |reason| reason.code);
    Reason { code, text: format!("{healthy} of {wanted} instances healthy; {what}") }
}

fn ended(view: &View, release: &Release, failed: &Failures) -> String {
    let wanted: usize = release.processes.keys().map(|p| view.wanted_replicas(p)).sum();
    let healthy = view
        .instances
        .iter()
        .filter(|i| i.deployment == release.deployment && i.is_healthy())
        .count();
    format!("{healthy} of {wanted} instances healthy; {}", failed.reason.text)
}
