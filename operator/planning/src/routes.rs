//! Which instances an environment's hosts lead to.

use zeitwork_model::environment::WEB;

use crate::rollout::{Instance, View, is_ready};

/// The instances that serve, in the order of their ids: the wanted deployment's once all of them
/// are healthy, else the live one's healthy ones. Those of a lost node serve only while nobody
/// else can: they may well be up.
#[must_use]
pub fn serving(view: &View) -> Vec<&Instance> {
    if view.deleted || view.paused {
        return Vec::new();
    }
    let ready = view.wanted.as_ref().filter(|wanted| is_ready(view, wanted));
    let Some(release) = ready.or(view.live.as_ref()) else { return Vec::new() };
    let healthy: Vec<&Instance> =
        view.members(release.deployment, WEB).filter(|i| i.is_healthy()).collect();
    let sure: Vec<&Instance> = healthy.iter().copied().filter(|i| !i.lost).collect();
    let mut serving = if sure.is_empty() { healthy } else { sure };
    serving.sort_by_key(|i| i.id);
    serving
}
