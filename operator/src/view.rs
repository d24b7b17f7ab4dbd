//! Turns what was read into the planners' views.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use time::{Duration, OffsetDateTime};
use zeitwork_database::views::rollouts::{
    Deployment, Environment, Host, Instance, Replicas, Snapshot,
};
use zeitwork_model::deployment::DeploymentStatus;
use zeitwork_model::id::{DeploymentId, EnvironmentId, InstanceId};
use zeitwork_model::instance::InstanceStatus;
use zeitwork_model::node::NodeStatus;
use zeitwork_model::reason::Reason;
use zeitwork_planning::rollout::{self, Edges, Failures, Release, View};

/// An edge that stopped renewing so long ago is not waited for: it is gone, or will take a
/// snapshot when it is back.
const SILENT: Duration = Duration::minutes(10);

/// One environment with what belongs to it.
pub(crate) struct Scene<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) deployments: Vec<&'a Deployment>,
    pub(crate) instances: Vec<&'a Instance>,
    pub(crate) hosts: Vec<&'a Host>,
    pub(crate) view: View,
}

impl Scene<'_> {
    pub(crate) fn deployment(&self, id: DeploymentId) -> Option<&Deployment> {
        self.deployments.iter().find(|d| d.id == id).copied()
    }
}

/// All environments of a snapshot.
pub(crate) fn scenes(snapshot: &Snapshot) -> Vec<Scene<'_>> {
    let mut groups = Groups {
        deployments: group(&snapshot.deployments, |d| d.environment_id),
        instances: group(&snapshot.instances, |i| i.environment_id),
        hosts: group(&snapshot.hosts, |h| h.environment_id),
        replicas: group(&snapshot.replicas, |r| r.environment_id),
    };
    snapshot.environments.iter().map(|e| groups.scene(snapshot, e)).collect()
}

/// The rows of a snapshot by environment; each environment takes its own out.
struct Groups<'a> {
    deployments: HashMap<EnvironmentId, Vec<&'a Deployment>>,
    instances: HashMap<EnvironmentId, Vec<&'a Instance>>,
    hosts: HashMap<EnvironmentId, Vec<&'a Host>>,
    replicas: HashMap<EnvironmentId, Vec<&'a Replicas>>,
}

impl<'a> Groups<'a> {
    fn scene(&mut self, snapshot: &Snapshot, environment: &'a Environment) -> Scene<'a> {
        let id = environment.id;
        let deployments = self.deployments.remove(&id).unwrap_or_default();
        let instances = self.instances.remove(&id).unwrap_or_default();
        let hosts = self.hosts.remove(&id).unwrap_or_default();
        let replicas = self.replicas.remove(&id).unwrap_or_default();
        let live = deployments.iter().find(|d| d.status == DeploymentStatus::Live);
        let wanted = deployments
            .iter()
            .find(|d| d.status == DeploymentStatus::Starting && environment.wished == Some(d.id));
        let count = |r: &&Replicas| (r.process.clone(), u32::try_from(r.replicas).unwrap_or(0));
        let view = View {
            now: snapshot.now,
            deleted: environment.deleted,
            paused: environment.paused,
            wanted: wanted.map(|d| release(d, snapshot.now)),
            live: live.map(|d| release(d, snapshot.now)),
            retired: environment.retired,
            replicas: replicas.iter().map(count).collect(),
            instances: instances.iter().map(|i| member(i, &deployments)).collect(),
            routed: routed(&hosts),
            edges: edges(snapshot, environment),
            failures: failures(snapshot, &deployments.iter().map(|d| d.id).collect()),
        };
        Scene { environment, deployments, instances, hosts, view }
    }
}

fn group<T>(rows: &[T], key: impl Fn(&T) -> EnvironmentId) -> HashMap<EnvironmentId, Vec<&T>> {
    let mut groups: HashMap<EnvironmentId, Vec<&T>> = HashMap::new();
    for row in rows {
        groups.entry(key(row)).or_default().push(row);
    }
    groups
}

fn release(deployment: &Deployment, now: OffsetDateTime) -> Release {
    let grace = |(name, process): (&String, &zeitwork_model::environment::ProcessConfiguration)| {
        (name.clone(), Duration::milliseconds(i64::from(process.health.grace_ms)))
    };
    Release {
        deployment: deployment.id,
        since: deployment.starting_at.unwrap_or(now),
        processes: deployment.configuration.0.iter().map(grace).collect(),
    }
}

fn member(row: &Instance, deployments: &[&Deployment]) -> rollout::Instance {
    let process = deployments
        .iter()
        .find(|d| d.id == row.deployment_id)
        .and_then(|d| d.configuration.0.get(&row.process));
    let drain = process.map_or(30, |p| p.drain_seconds);
    rollout::Instance {
        id: row.id,
        deployment: row.deployment_id,
        process: row.process.clone(),
        status: row.status,
        goal: row.goal,
        was_healthy: row.healthy_at.is_some(),
        lost: row.node_status == NodeStatus::Lost,
        moving: matches!(row.node_status, NodeStatus::Draining | NodeStatus::Drained),
        reason: reason(row),
        drain: Duration::seconds(i64::from(drain)),
        draining_at: row.draining_at,
        rested_at: row.rested_at,
        deadline_at: row.deadline_at,
    }
}

/// Why an instance is not healthy; one that its node has not begun may have to thank the node.
fn reason(row: &Instance) -> Option<Reason> {
    let of_row = row.reason_code.as_ref().map(|code| {
        let text = row.reason_text.as_ref().unwrap_or(code);
        Reason::new(code, text.clone())
    });
    let pending = row.status == InstanceStatus::Pending;
    let of_node = row.node_problem.as_ref().filter(|_| pending);
    of_row.or_else(|| of_node.map(|text| Reason::new("node_problem", text.clone())))
}

fn routed(hosts: &[&Host]) -> BTreeSet<InstanceId> {
    let routes = hosts.iter().filter_map(|h| h.route.as_ref());
    routes.flat_map(|route| route.0.endpoints.iter().map(|e| e.instance)).collect()
}

fn edges(snapshot: &Snapshot, environment: &Environment) -> Edges {
    let alive = || snapshot.edges.iter().filter(|e| e.is_alive);
    let behind = alive()
        .any(|e| e.epoch != snapshot.epoch || e.applied_generation < environment.route_generation);
    let silent =
        snapshot.edges.iter().any(|e| !e.is_alive && e.lease_until > snapshot.now - SILENT);
    let mut in_flight: BTreeMap<InstanceId, u32> = BTreeMap::new();
    for (instance, requests) in alive().flat_map(|e| e.in_flight.0.iter()) {
        if let Ok(id) = instance.parse() {
            *in_flight.entry(id).or_default() += requests;
        }
    }
    // With every known edge silent (the database was away for all of us, say) nobody can say
    // what is applied: wait for them as long as they may be about to come back.
    let nobody = alive().next().is_none() && silent;
    Edges { applied: !behind && !nobody, silent, in_flight }
}

fn failures(snapshot: &Snapshot, known: &BTreeSet<DeploymentId>) -> Vec<Failures> {
    let of_these = snapshot.failures.iter().filter(|f| known.contains(&f.deployment_id));
    of_these
        .map(|f| Failures {
            deployment: f.deployment_id,
            process: f.process.clone(),
            count: u32::try_from(f.count).unwrap_or(u32::MAX),
            // A clock that was set back has it in the future.
            last_at: f.last_at.min(snapshot.now),
            reason: Reason::new(&f.reason_code, f.reason_text.clone()),
        })
        .collect()
}
