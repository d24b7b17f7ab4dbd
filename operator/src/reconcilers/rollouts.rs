//! `rollouts`: each environment runs what was wished for last, and never goes dark on the way.

use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use zeitwork_database::images;
use zeitwork_database::steps::instances::{self, NewInstance};
use zeitwork_database::steps::{deployments, routes};
use zeitwork_database::views::{placement, rollouts};
use zeitwork_model::deployment::DeploymentStatus;
use zeitwork_model::environment::ProcessConfiguration;
use zeitwork_model::id::DeploymentId;
use zeitwork_model::reason::Reason;
use zeitwork_planning::placement::{Node, Place, choose};
use zeitwork_planning::rollout::{Action, plan, waiting};
use zeitwork_runtime::failpoint::Step;
use zeitwork_runtime::{PassReport, Reconciler, effect, step};

use crate::each::{Done, Keys};
use crate::view::{Scene, scenes};
use crate::{Error, World, begin, commit};

/// Where a process listens if neither its configuration nor its image says so.
const DEFAULT_PORT: u16 = 8080;

/// Keeps what runs right.
#[derive(Debug)]
pub struct Rollouts {
    world: Arc<World>,
    keys: Keys,
}

impl Rollouts {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        let keys = Keys::new(Self::NAME, step!("rollouts.environment"));
        Self { world: world.clone(), keys }
    }
}

impl Reconciler for Rollouts {
    const NAME: &'static str = "rollouts";
    type Error = Error;

    async fn pass(&mut self) -> Result<PassReport, Error> {
        let world = &self.world;
        let snapshot = rollouts::read(&mut *world.database.begin().await?).await?;
        let scenes = scenes(&snapshot);
        let mut report = PassReport::default();
        let name = |scene: &Scene<'_>| scene.environment.id.to_string();
        let works = scenes.iter().map(|scene| (name(scene), reconcile(world, scene))).collect();
        self.keys.work(&mut report, works).await;
        Ok(report)
    }
}

async fn reconcile(world: &World, scene: &Scene<'_>) -> Result<Done, Error> {
    let mut done = Done::default();
    if scene.view.deleted {
        done.changed += clear(world, scene).await?;
    }
    let actions = plan(&scene.view);
    let mut crowded = false;
    for action in &actions {
        if apply(world, scene, action).await? {
            done.changed += 1;
        } else {
            crowded = true;
        }
    }
    // A step that was taken makes another view: the next pass says what that one waits for.
    let told = actions.is_empty() || crowded;
    if let Some(reason) = waiting(&scene.view).filter(|_| told) {
        explain(world, scene, &reason).await?;
        done.reason = Some(reason.text);
    } else if crowded {
        done.reason = Some("no node with the image has room".into());
    }
    Ok(done)
}

/// Writes why the wanted deployment waits, for those who look at it.
async fn explain(world: &World, scene: &Scene<'_>, reason: &Reason) -> Result<(), Error> {
    let Some(wanted) = scene.view.wanted.as_ref().map(|release| release.deployment) else {
        return Ok(());
    };
    let written = scene.deployment(wanted).and_then(|row| row.reason_text.as_ref());
    if written != Some(&reason.text) {
        let mut connection = world.database.acquire().await?;
        let explain =
            deployments::explain(&mut connection, wanted, DeploymentStatus::Starting, reason);
        effect(step!("rollouts.explain"), explain).await?;
    }
    Ok(())
}

/// Ends what is under way in a deleted environment, once.
async fn clear(world: &World, scene: &Scene<'_>) -> Result<u64, Error> {
    let open = scene
        .deployments
        .iter()
        .any(|d| matches!(d.status, DeploymentStatus::Starting | DeploymentStatus::Live));
    let named = scene.hosts.iter().any(|h| h.is_domain);
    if !open && !named && scene.environment.wished.is_none() {
        return Ok(0);
    }
    let mut transaction = begin(world, scene.view.now).await?;
    deployments::end_all(&mut transaction, scene.environment.id).await?;
    routes::remove_domains(&mut transaction, scene.environment.id).await?;
    commit(step!("rollouts.clear"), transaction).await?;
    Ok(1)
}

/// Carries one step out; false where there is no room for it.
async fn apply(world: &World, scene: &Scene<'_>, action: &Action) -> Result<bool, Error> {
    let mut transaction = begin(world, scene.view.now).await?;
    let connection = &mut *transaction;
    match action {
        Action::Start(deployment, process) => {
            match start(connection, scene, *deployment, process).await? {
                Started::Here => {}
                Started::Crowded if instances::stop_longest_rested(connection).await? => {
                    commit(step!("rollouts.make_room"), transaction).await?;
                    return Ok(false);
                }
                Started::Crowded | Started::Nowhere => return Ok(false),
            }
        }
        Action::Revive(id) => instances::revive(connection, *id).await?,
        Action::GoLive(deployment) => {
            let live = deployments::go_live(connection, scene.environment.id, *deployment).await?;
            live.journal(connection, "deployment.live", "Every edge routes to it.").await?;
        }
        Action::Fail(deployment, reason) => fail(connection, *deployment, reason).await?,
        Action::Drain(id) => instances::drain(connection, *id).await?,
        Action::Rest(id) => instances::rest(connection, *id).await?,
        Action::Stop(id) => instances::stop(connection, *id).await?,
        Action::GiveUp(id) => instances::give_up(connection, *id).await?,
    }
    commit(step_of(action), transaction).await?;
    tracing::debug!(environment.id = %scene.environment.id, ?action, "step");
    Ok(true)
}

const fn step_of(action: &Action) -> Step {
    match action {
        Action::Start(..) => step!("rollouts.start"),
        Action::Revive(_) => step!("rollouts.revive"),
        Action::GoLive(_) => step!("rollouts.go_live"),
        Action::Fail(..) => step!("rollouts.fail"),
        Action::Drain(_) => step!("rollouts.drain"),
        Action::Rest(_) => step!("rollouts.rest"),
        Action::Stop(_) => step!("rollouts.stop"),
        Action::GiveUp(_) => step!("rollouts.give_up"),
    }
}

async fn fail(
    connection: &mut zeitwork_database::PgConnection,
    deployment: DeploymentId,
    reason: &Reason,
) -> Result<(), Error> {
    deployments::lock_environment(connection, deployment).await?;
    let failed = deployments::end(
        connection,
        deployment,
        &[DeploymentStatus::Starting],
        DeploymentStatus::Failed,
        reason,
    )
    .await?;
    failed.journal(connection, "deployment.failed", &reason.text).await?;
    Ok(())
}

/// What became of a start.
enum Started {
    /// There is one instance more.
    Here,
    /// No ready node that has the image has room.
    Crowded,
    /// No node has the image: room would not help.
    Nowhere,
}

/// Creates one instance, if it can.
async fn start(
    connection: &mut zeitwork_database::PgConnection,
    scene: &Scene<'_>,
    deployment: DeploymentId,
    process: &str,
) -> Result<Started, Error> {
    let unfit = |what: &str| Error::Unfit(format!("{deployment} has no {what}"));
    let row = scene.deployment(deployment).ok_or_else(|| unfit("row"))?;
    let image = row.image_id.ok_or_else(|| unfit("image"))?;
    let settings = row.configuration.0.get(process).ok_or_else(|| unfit("such process"))?;
    let nodes = placement::candidates(connection, image, deployment, process).await?;
    let nodes: Vec<Node> = nodes.into_iter().filter_map(node).collect();
    let Some(Place { node, address }) = choose(&nodes, u64::from(settings.limits.memory_mb) << 20)
    else {
        let is_lost = images::is_lost(connection, deployment).await?;
        return Ok(if is_lost { Started::Nowhere } else { Started::Crowded });
    };
    let most = scene.view.most_members(deployment, process);
    let new = NewInstance {
        organisation_id: scene.environment.organisation_id,
        project_id: scene.environment.project_id,
        environment_id: scene.environment.id,
        deployment_id: deployment,
        process,
        node_id: node,
        address,
        port: port(settings, row.exposed_ports.as_deref()),
        most_members: i64::try_from(most).unwrap_or(i64::MAX),
    };
    instances::create(connection, &new).await?;
    Ok(Started::Here)
}

fn node(candidate: placement::Candidate) -> Option<Node> {
    let v4 = |network: IpNetwork| match network.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    };
    let IpNetwork::V4(subnet) = candidate.subnet else { return None };
    Some(Node {
        id: candidate.node_id,
        subnet,
        available_bytes: u64::try_from(candidate.available_bytes).unwrap_or(0),
        arriving: u32::try_from(candidate.arriving).unwrap_or(u32::MAX),
        siblings: u32::try_from(candidate.siblings).unwrap_or(u32::MAX),
        taken: candidate.taken.into_iter().filter_map(v4).collect(),
        last: candidate.last.and_then(v4),
    })
}

fn port(settings: &ProcessConfiguration, exposed: Option<&[i32]>) -> u16 {
    let only = match exposed {
        Some([port]) => u16::try_from(*port).ok(),
        _ => None,
    };
    settings.port.or(only).unwrap_or(DEFAULT_PORT)
}
