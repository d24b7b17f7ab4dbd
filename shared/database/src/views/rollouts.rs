//! What the rollouts of all environments depend on.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;
use zeitwork_model::deployment::DeploymentStatus;
use zeitwork_model::environment::ProcessConfiguration;
use zeitwork_model::id::{
    DeploymentId, EdgeId, EnvironmentId, ImageId, InstanceId, NodeId, OrganisationId, ProjectId,
};
use zeitwork_model::instance::{InstanceGoal, InstanceStatus};
use zeitwork_model::node::NodeStatus;
use zeitwork_model::reason::BLAMELESS;
use zeitwork_model::route::Route;

use crate::Result;

/// An environment in which something runs or shall run.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Which.
    pub id: EnvironmentId,
    /// Whose.
    pub organisation_id: OrganisationId,
    /// Of which project.
    pub project_id: ProjectId,
    /// It or its project was deleted.
    pub deleted: bool,
    /// Somebody paused it.
    pub paused: bool,
    /// The deployment of its newest wish, while that is pending.
    pub wished: Option<DeploymentId>,
    /// The deployment that served last before the one that does.
    pub retired: Option<DeploymentId>,
    /// Newest change of its routes.
    pub route_generation: i64,
}

/// A deployment that is starting, live, or still has instances.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Which.
    pub id: DeploymentId,
    /// Where.
    pub environment_id: EnvironmentId,
    /// How far it is.
    pub status: DeploymentStatus,
    /// Its processes as they were frozen.
    pub configuration: Json<BTreeMap<String, ProcessConfiguration>>,
    /// What it runs.
    pub image_id: Option<ImageId>,
    /// TCP ports that its image exposes.
    pub exposed_ports: Option<Vec<i32>>,
    /// Since when it starts.
    pub starting_at: Option<OffsetDateTime>,
    /// Why it waits, as it is written.
    pub reason_text: Option<String>,
}

/// How many instances of a process are wanted.
#[derive(Debug, Clone)]
pub struct Replicas {
    /// Where.
    pub environment_id: EnvironmentId,
    /// Which process.
    pub process: String,
    /// How many.
    pub replicas: i32,
}

/// An instance that is not gone.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Which.
    pub id: InstanceId,
    /// Where.
    pub environment_id: EnvironmentId,
    /// Of which deployment.
    pub deployment_id: DeploymentId,
    /// On which node.
    pub node_id: NodeId,
    /// How that node is.
    pub node_status: NodeStatus,
    /// Of which process.
    pub process: String,
    /// How it is.
    pub status: InstanceStatus,
    /// What its node was told.
    pub goal: InstanceGoal,
    /// Why it is not healthy: code.
    pub reason_code: Option<String>,
    /// The same for people.
    pub reason_text: Option<String>,
    /// What keeps its node from working as it should: "node-a: …".
    pub node_problem: Option<String>,
    /// When it was healthy first.
    pub healthy_at: Option<OffsetDateTime>,
    /// Drains since.
    pub draining_at: Option<OffsetDateTime>,
    /// Rests since.
    pub rested_at: Option<OffsetDateTime>,
    /// Of its state.
    pub deadline_at: Option<OffsetDateTime>,
    /// Where requests reach it.
    pub address: Option<sqlx::types::ipnetwork::IpNetwork>,
    /// On which port.
    pub port: i32,
}

/// Instances of a process that ended by themselves.
#[derive(Debug, Clone)]
pub struct Failures {
    /// Of which deployment.
    pub deployment_id: DeploymentId,
    /// Of which process.
    pub process: String,
    /// How many lately.
    pub count: i64,
    /// When the last one did.
    pub last_at: OffsetDateTime,
    /// Why the last one did: code.
    pub reason_code: String,
    /// The same for people.
    pub reason_text: String,
}

/// A host of an environment and its row of the route table.
#[derive(Debug, Clone)]
pub struct Host {
    /// The host; `*.` never.
    pub host: String,
    /// Where; none where the domain is gone and only the route is left.
    pub environment_id: EnvironmentId,
    /// It is a domain at present.
    pub is_domain: bool,
    /// Whether the host is below the base domain.
    pub internal: bool,
    /// The route as written.
    pub route: Option<Json<Route>>,
    /// When it was.
    pub written_at: Option<OffsetDateTime>,
}

/// An edge that has reported in the last day.
#[derive(Debug, Clone)]
pub struct Edge {
    /// Which.
    pub id: EdgeId,
    /// Its lease lives.
    pub is_alive: bool,
    /// Until when its lease holds.
    pub lease_until: OffsetDateTime,
    /// The epoch that it follows.
    pub epoch: i64,
    /// The generation that it has applied.
    pub applied_generation: i64,
    /// Requests in flight per instance.
    pub in_flight: Json<BTreeMap<String, u32>>,
}

/// Everything, as it was at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The database's time.
    pub now: OffsetDateTime,
    /// Which life of the database.
    pub epoch: i64,
    /// Environments in which something runs or shall run.
    pub environments: Vec<Environment>,
    /// Their deployments.
    pub deployments: Vec<Deployment>,
    /// Their processes.
    pub replicas: Vec<Replicas>,
    /// Their instances.
    pub instances: Vec<Instance>,
    /// What ended by itself in the last ten minutes.
    pub failures: Vec<Failures>,
    /// Hosts and routes of all environments.
    pub hosts: Vec<Host>,
    /// Edges.
    pub edges: Vec<Edge>,
}

/// Reads everything as it is at one moment; the connection must be in a transaction.
///
/// # Errors
/// Those of every statement.
pub async fn read(connection: &mut PgConnection) -> Result<Snapshot> {
    sqlx::query!("set transaction isolation level repeatable read, read only")
        .execute(&mut *connection)
        .await?;
    let installation = crate::installation::read(connection).await?;
    Ok(Snapshot {
        now: crate::installation::now(connection).await?,
        epoch: installation.epoch,
        environments: environments(connection).await?,
        deployments: deployments(connection).await?,
        replicas: replicas(connection).await?,
        instances: instances(connection).await?,
        failures: failures(connection).await?,
        hosts: hosts(connection).await?,
        edges: edges(connection).await?,
    })
}

async fn environments(connection: &mut PgConnection) -> Result<Vec<Environment>> {
    let rows = sqlx::query_as!(
        Environment,
        r#"select e.id as "id: EnvironmentId", e.organisation_id as "organisation_id: OrganisationId",
            e.project_id as "project_id: ProjectId",
            (e.deleted_at is not null or p.deleted_at is not null) as "deleted!",
            e.paused_at is not null as "paused!",
            (select w.deployment_id from wishes w
             where w.environment_id = e.id and w.status = 'pending'
             order by w.generation desc limit 1) as "wished: DeploymentId",
            (select d.id from deployments d
             where d.environment_id = e.id and d.status = 'retired' and d.live_at is not null
             order by d.finished_at desc nulls last limit 1) as "retired: DeploymentId",
            coalesce((select max(f.generation) from route_feed f
                      where f.environment_id = e.id), 0) as "route_generation!"
        from environments e
        join projects p on p.id = e.project_id
        where exists (select from deployments d
                      where d.environment_id = e.id
                        and d.status in ('queued', 'building', 'starting', 'live'))
            or exists (select from instances i
                       where i.environment_id = e.id and i.status not in ('stopped', 'failed'))
            or exists (select from routes r where r.environment_id = e.id)
            or exists (select from domains n where n.environment_id = e.id)
        order by e.id
        limit 100000"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

async fn deployments(connection: &mut PgConnection) -> Result<Vec<Deployment>> {
    let rows = sqlx::query_as!(
        Deployment,
        r#"select d.id as "id: DeploymentId", d.environment_id as "environment_id: EnvironmentId",
            d.status as "status: DeploymentStatus",
            d.configuration as "configuration: Json<BTreeMap<String, ProcessConfiguration>>",
            d.image_id as "image_id: ImageId",
            i.exposed_ports as "exposed_ports?", d.starting_at, d.reason_text
        from deployments d
        left join images i on i.id = d.image_id
        where d.status in ('starting', 'live')
            or exists (select from instances n
                       where n.deployment_id = d.id and n.status not in ('stopped', 'failed'))
        limit 100000"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

async fn replicas(connection: &mut PgConnection) -> Result<Vec<Replicas>> {
    let rows = sqlx::query_as!(
        Replicas,
        r#"select environment_id as "environment_id: EnvironmentId", name as process, replicas
        from processes
        limit 100000"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

async fn instances(connection: &mut PgConnection) -> Result<Vec<Instance>> {
    let rows = sqlx::query_as!(
        Instance,
        r#"select i.id as "id: InstanceId", i.environment_id as "environment_id: EnvironmentId",
            i.deployment_id as "deployment_id: DeploymentId", i.node_id as "node_id: NodeId",
            n.status as "node_status: NodeStatus", i.process,
            i.status as "status: InstanceStatus", i.goal as "goal: InstanceGoal",
            i.reason_code, i.reason_text,
            n.name || ': ' || (n.problems->0->>'text') as node_problem, i.healthy_at, i.draining_at, i.rested_at,
            i.deadline_at, e.address as "address?", i.port
        from instances i
        join nodes n on n.id = i.node_id
        left join endpoints e on e.instance_id = i.id
        where i.status not in ('stopped', 'failed')
        order by i.id
        limit 100000"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

async fn failures(connection: &mut PgConnection) -> Result<Vec<Failures>> {
    let rows = sqlx::query_as!(
        Failures,
        r#"select i.deployment_id as "deployment_id: DeploymentId", i.process,
            count(*) as "count!", max(i.finished_at) as "last_at!",
            (array_agg(i.reason_code order by i.finished_at desc))[1] as "reason_code!",
            (array_agg(coalesce(i.reason_text, '') order by i.finished_at desc))[1]
                as "reason_text!"
        from instances i
        join deployments d on d.id = i.deployment_id
        where i.status = 'failed' and i.reason_code <> all($1)
            and i.finished_at > now() - interval '10 minutes'
            and i.finished_at > d.starting_at
            and d.status in ('starting', 'live')
        group by i.deployment_id, i.process
        limit 100000"#,
        &BLAMELESS.map(str::to_owned)
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

async fn hosts(connection: &mut PgConnection) -> Result<Vec<Host>> {
    let rows = sqlx::query_as!(
        Host,
        r#"select coalesce(d.host, r.host) as "host!",
            coalesce(d.environment_id, r.environment_id) as "environment_id!: EnvironmentId",
            d.id is not null as "is_domain!",
            coalesce(d.kind = 'internal', false) as "internal!",
            r.route as "route?: Json<Route>", r.written_at as "written_at?"
        from (select * from domains where verified_at is not null or kind = 'internal') d
        full join routes r on r.host = d.host
        limit 200000"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

async fn edges(connection: &mut PgConnection) -> Result<Vec<Edge>> {
    let rows = sqlx::query_as!(
        Edge,
        r#"select id as "id: EdgeId", lease_until > now() as "is_alive!", lease_until, epoch,
            applied_generation, in_flight as "in_flight: Json<BTreeMap<String, u32>>"
        from edges
        where lease_until > now() - interval '1 day'
        limit 1000"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}
