//! `routes`: the route table says where each host's requests go.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use time::OffsetDateTime;
use zeitwork_database::steps::routes;
use zeitwork_database::views::rollouts::{self, Host};
use zeitwork_model::route::{Endpoint, Route};
use zeitwork_planning::routes::serving;
use zeitwork_runtime::{PassReport, Reconciler, step};

use crate::each::{Done, Keys};
use crate::view::{Scene, scenes};
use crate::{Error, World, begin, commit};

/// Longest time until the head of an answer.
const TIMEOUT_MS: u32 = 60_000;

/// Keeps the route table right.
#[derive(Debug)]
pub struct Routes {
    world: Arc<World>,
    keys: Keys,
}

impl Routes {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        let keys = Keys::new(Self::NAME, step!("routes.environment"));
        Self { world: world.clone(), keys }
    }
}

/// One change of the table, made for the route that was seen.
struct Change<'a> {
    host: &'a str,
    /// When that was written; none: there was none.
    seen: Option<OffsetDateTime>,
    /// None: it goes.
    to: Option<Route>,
}

impl Reconciler for Routes {
    const NAME: &'static str = "routes";
    type Error = Error;

    async fn pass(&mut self) -> Result<PassReport, Error> {
        let world = &self.world;
        let snapshot = rollouts::read(&mut *world.database.begin().await?).await?;
        let mut report = PassReport::default();
        let scenes = scenes(&snapshot);
        let plans: Vec<_> =
            scenes.iter().map(|scene| (scene.environment.id, changes(scene))).collect();
        let due = plans.iter().filter(|(_, changes)| !changes.is_empty());
        let now = snapshot.now;
        let works = due.map(|(id, changes)| (id.to_string(), apply(world, now, changes))).collect();
        self.keys.work(&mut report, works).await;
        report.seen = snapshot.hosts.len() as u64;
        Ok(report)
    }
}

fn changes<'a>(scene: &Scene<'a>) -> Vec<Change<'a>> {
    let ids: BTreeSet<_> = serving(&scene.view).iter().map(|i| i.id).collect();
    let endpoints: Vec<Endpoint> = scene
        .instances
        .iter()
        .filter(|i| ids.contains(&i.id))
        .filter_map(|i| {
            let port = u16::try_from(i.port).ok()?;
            let IpAddr::V4(address) = i.address?.ip() else { return None };
            Some(Endpoint { instance: i.id, address: SocketAddr::from((address, port)) })
        })
        .collect();
    scene.hosts.iter().filter_map(|host| change(scene, host, &endpoints)).collect()
}

fn change<'a>(scene: &Scene<'a>, host: &'a Host, endpoints: &[Endpoint]) -> Option<Change<'a>> {
    let changed = |to| Change { host: &host.host, seen: host.written_at, to };
    if !host.is_domain || scene.view.deleted {
        return host.route.as_ref().map(|_| changed(None));
    }
    let route = Route {
        organisation: scene.environment.organisation_id,
        project: scene.environment.project_id,
        environment: scene.environment.id,
        endpoints: endpoints.to_vec(),
        timeout_ms: TIMEOUT_MS,
        shared_domain: host.internal,
    };
    let same = host.route.as_ref().is_some_and(|written| written.0 == route);
    (!same).then(|| changed(Some(route)))
}

/// All hosts of an environment change at once.
async fn apply(
    world: &World,
    planned_at: OffsetDateTime,
    changes: &[Change<'_>],
) -> Result<Done, Error> {
    let mut transaction = begin(world, planned_at).await?;
    for Change { host, seen, to } in changes {
        match to {
            Some(route) => routes::put(&mut transaction, host, route, *seen).await?,
            None => routes::remove(&mut transaction, host, *seen).await?,
        }
    }
    commit(step!("routes.write"), transaction).await?;
    Ok(Done::steps(changes.len() as u64))
}
