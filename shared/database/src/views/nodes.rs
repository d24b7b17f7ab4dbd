//! What a node is told and what it says.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use sqlx::types::ipnetwork::IpNetwork;
use time::OffsetDateTime;
use zeitwork_model::environment::ProcessConfiguration;
use zeitwork_model::generation::Position;
use zeitwork_model::id::{
    BuildId, DeploymentId, EnvironmentId, InstanceId, NodeId, OrganisationId, ProjectId,
    VariableSetId,
};
use zeitwork_model::instance::{InstanceGoal, InstanceStatus};
use zeitwork_model::node::NodeStatus;
use zeitwork_model::project::SourceKind;
use zeitwork_protocol::target::NodeTarget;

use crate::Result;

/// A node with its newest report and target.
#[derive(Debug, Clone)]
pub struct Node {
    /// Which.
    pub id: NodeId,
    /// How it is.
    pub status: NodeStatus,
    /// What it is again once it is not lost any more.
    pub returns_to: NodeStatus,
    /// Its public key.
    pub public_key: Vec<u8>,
    /// Its network, copied from its report.
    pub subnet: Option<IpNetwork>,
    /// When the report that was taken in last was made.
    pub taken_in_at: Option<OffsetDateTime>,
    /// The newest report.
    pub report: Option<serde_json::Value>,
    /// When it was made.
    pub reported_at: Option<OffsetDateTime>,
    /// The target as written; none where there is none or it cannot be read.
    pub target: Option<serde_json::Value>,
    /// Its epoch.
    pub epoch: Option<i64>,
    /// Its generation.
    pub generation: Option<i64>,
}

impl Node {
    /// The target as written, if it can be read.
    #[must_use]
    pub fn written(&self) -> Option<NodeTarget> {
        serde_json::from_value(self.target.clone()?).ok()
    }

    /// The target that the node works on, by its newest report.
    #[must_use]
    pub fn applied(&self) -> Option<Position> {
        serde_json::from_value(self.report.as_ref()?.get("applied")?.clone()).ok()
    }
}

/// An instance of a node that is not gone, with all that its target needs.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Which.
    pub id: InstanceId,
    /// Whose.
    pub organisation_id: OrganisationId,
    /// Of which project.
    pub project_id: ProjectId,
    /// Where.
    pub environment_id: EnvironmentId,
    /// Of which deployment.
    pub deployment_id: DeploymentId,
    /// Of which process.
    pub process: String,
    /// How it is.
    pub status: InstanceStatus,
    /// What is wanted of it.
    pub goal: InstanceGoal,
    /// It was healthy before.
    pub was_healthy: bool,
    /// Why it is not healthy, as far as the row says: code.
    pub reason_code: Option<String>,
    /// The same for people.
    pub reason_text: Option<String>,
    /// Starts after the first.
    pub restarts: i32,
    /// Its address.
    pub address: Option<IpNetwork>,
    /// Its port.
    pub port: i32,
    /// What its deployment runs.
    pub commit_sha: Option<String>,
    /// The image, as this node's engine names it.
    pub engine_image: Option<String>,
    /// Processes of its deployment.
    pub configuration: Json<BTreeMap<String, ProcessConfiguration>>,
    /// Variables of its deployment.
    pub variable_set_id: VariableSetId,
    /// Label of the environment's internal domain.
    pub label: Option<String>,
}

/// A build whose lease a node has.
#[derive(Debug, Clone)]
pub struct Build {
    /// Which.
    pub id: BuildId,
    /// Whose.
    pub organisation_id: OrganisationId,
    /// Of which project.
    pub project_id: ProjectId,
    /// The attempt that the node has.
    pub attempt: i32,
    /// Attempts at most.
    pub maximum_attempts: i32,
    /// What it is at.
    pub step: Option<String>,
    /// Until when it has it.
    pub lease_until: Option<OffsetDateTime>,
    /// What is built.
    pub commit_sha: String,
    /// In which directory.
    pub root_directory: String,
    /// By which Dockerfile.
    pub dockerfile: String,
    /// With which variables.
    pub variable_set_id: Option<VariableSetId>,
    /// Somebody asked for its end.
    pub cancel_requested: bool,
    /// Kind of the source.
    pub source_kind: SourceKind,
    /// GitHub's name of the repository.
    pub repository: Option<String>,
    /// GitHub's number of the repository.
    pub repository_id: Option<i64>,
    /// GitHub's number of the App's installation.
    pub installation_id: Option<i64>,
    /// Plain git.
    pub url: Option<String>,
}

/// All nodes.
///
/// # Errors
/// Those of every statement.
pub async fn nodes(connection: &mut PgConnection) -> Result<Vec<Node>> {
    let rows = sqlx::query_as!(
        Node,
        r#"select n.id as "id: NodeId", n.status as "status: NodeStatus",
            n.returns_to as "returns_to: NodeStatus", n.public_key,
            n.subnet::inet as subnet, n.reported_at as taken_in_at, r.report as "report?",
            r.reported_at as "reported_at?", t.target as "target?", t.epoch as "epoch?",
            t.generation as "generation?"
        from nodes n
        left join node_reports r on r.node_id = n.id
        left join node_targets t on t.node_id = n.id
        order by n.id
        limit 1000"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// The instances of a node that are not gone.
///
/// # Errors
/// Those of every statement.
pub async fn instances(connection: &mut PgConnection, node: NodeId) -> Result<Vec<Instance>> {
    let rows = sqlx::query_as!(
        Instance,
        r#"select i.id as "id: InstanceId", i.organisation_id as "organisation_id: OrganisationId",
            i.project_id as "project_id: ProjectId",
            i.environment_id as "environment_id: EnvironmentId",
            i.deployment_id as "deployment_id: DeploymentId", i.process,
            i.status as "status: InstanceStatus", i.goal as "goal: InstanceGoal",
            i.healthy_at is not null as "was_healthy!", i.reason_code, i.reason_text, i.restarts,
            e.address as "address?", i.port, d.commit_sha,
            l.engine_image as "engine_image?",
            d.configuration as "configuration: Json<BTreeMap<String, ProcessConfiguration>>",
            d.variable_set_id as "variable_set_id: VariableSetId", m.label as "label?"
        from instances i
        join deployments d on d.id = i.deployment_id
        left join endpoints e on e.instance_id = i.id
        left join image_locations l on l.image_id = d.image_id and l.node_id = i.node_id
        left join domains m on m.environment_id = i.environment_id and m.kind = 'internal'
        where i.node_id = $1 and i.status not in ('stopped', 'failed')
        order by i.id
        limit 10000"#,
        node as NodeId
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// The builds whose lease a node has.
///
/// # Errors
/// Those of every statement.
pub async fn builds(connection: &mut PgConnection, node: NodeId) -> Result<Vec<Build>> {
    let rows = sqlx::query_as!(
        Build,
        r#"select b.id as "id: BuildId", b.organisation_id as "organisation_id: OrganisationId",
            b.project_id as "project_id: ProjectId", b.attempt, b.maximum_attempts, b.step,
            b.lease_until,
            b.commit_sha, b.root_directory, b.dockerfile,
            b.variable_set_id as "variable_set_id: VariableSetId",
            b.cancel_requested_at is not null as "cancel_requested!",
            p.source_kind as "source_kind: SourceKind", p.repository, p.repository_id,
            p.installation_id, p.url
        from builds b
        join projects p on p.id = b.project_id
        where b.node_id = $1 and b.status = 'running'
        order by b.id
        limit 1000"#,
        node as NodeId
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Images that a node has and shall keep, as its engine names them, in order.
///
/// # Errors
/// Those of every statement.
pub async fn kept_images(connection: &mut PgConnection, node: NodeId) -> Result<Vec<String>> {
    let rows = sqlx::query!(
        r#"select l.engine_image from image_locations l
        join images i on i.id = l.image_id
        where l.node_id = $1 and i.deleted_at is null
        order by l.engine_image
        limit 10000"#,
        node as NodeId
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| row.engine_image).collect())
}

/// How many of the instances and attempts of builds that a node tells of are another's or
/// nobody's. An attempt that was taken from it counts as its own.
///
/// # Errors
/// Those of every statement.
pub async fn foreign(
    connection: &mut PgConnection,
    node: NodeId,
    instances: &[InstanceId],
    builds: &[(BuildId, i32)],
) -> Result<u64> {
    let instances: Vec<uuid::Uuid> = instances.iter().map(|id| id.0).collect();
    let (builds, attempts): (Vec<uuid::Uuid>, Vec<i32>) =
        builds.iter().map(|(id, attempt)| (id.0, *attempt)).unzip();
    let row = sqlx::query!(
        r#"select
            (select count(*) from unnest($2::uuid[]) said (id)
             where not exists (select from instances i
                               where i.id = said.id and i.node_id = $1))
            + (select count(*) from unnest($3::uuid[], $4::int[]) said (id, attempt)
               where not exists (
                select from builds b
                where b.id = said.id
                    and (b.node_id is null or b.node_id = $1 or b.attempt > said.attempt)))
            as "foreign!""#,
        node as NodeId,
        &instances,
        &builds,
        &attempts
    )
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(row.foreign).unwrap_or(0))
}
