//! Instances as they are shown.

use sqlx::PgConnection;
use sqlx::types::ipnetwork::IpNetwork;
use time::OffsetDateTime;
use zeitwork_model::id::{
    DeploymentId, EnvironmentId, InstanceId, NodeId, OrganisationId, ProjectId,
};
use zeitwork_model::instance::InstanceStatus;

use crate::Result;

/// An instance.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Its project.
    pub project_id: ProjectId,
    /// Its environment.
    pub environment_id: EnvironmentId,
    /// Its deployment.
    pub deployment_id: DeploymentId,
    /// Its process.
    pub process: String,
    /// How it is.
    pub status: InstanceStatus,
    /// Why it is not healthy.
    pub reason_code: Option<String>,
    /// The same for people.
    pub reason_text: Option<String>,
    /// Starts after the first.
    pub restarts: i32,
    /// Of its last end.
    pub exit_code: Option<i32>,
    /// Whether its last end was for lack of memory.
    pub oom_killed: bool,
    /// Where it runs.
    pub node_id: NodeId,
    /// Name of the node.
    pub node: String,
    /// Its address on the node, while reserved.
    pub address: Option<IpNetwork>,
    /// Where it listens.
    pub port: i32,
    /// What it uses, by the newest report.
    pub usage: Option<serde_json::Value>,
    /// When it was placed.
    pub created_at: OffsetDateTime,
    /// When it was healthy first.
    pub healthy_at: Option<OffsetDateTime>,
    /// When it ended.
    pub finished_at: Option<OffsetDateTime>,
}

/// Which instances.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Of one project.
    pub project: Option<ProjectId>,
    /// Of one environment.
    pub environment: Option<EnvironmentId>,
    /// Of one deployment.
    pub deployment: Option<DeploymentId>,
    /// In one state.
    pub status: Option<InstanceStatus>,
    /// Without those that have ended.
    pub running: bool,
}

/// The organisation's instances, newest first.
///
/// # Errors
/// Those of every statement.
pub async fn list(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    filter: Filter,
    before: Option<InstanceId>,
    limit: i64,
) -> Result<Vec<Instance>> {
    select(connection, organisation, filter, None, before, limit).await
}

/// One instance.
///
/// # Errors
/// Those of every statement.
pub async fn get(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: InstanceId,
) -> Result<Option<Instance>> {
    Ok(select(connection, organisation, Filter::default(), Some(id), None, 1).await?.pop())
}

async fn select(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    filter: Filter,
    id: Option<InstanceId>,
    before: Option<InstanceId>,
    limit: i64,
) -> Result<Vec<Instance>> {
    let rows = sqlx::query_as!(
        Instance,
        r#"select i.id as "id: InstanceId", i.project_id as "project_id: ProjectId",
            i.environment_id as "environment_id: EnvironmentId",
            i.deployment_id as "deployment_id: DeploymentId", i.process,
            i.status as "status: InstanceStatus", i.reason_code, i.reason_text, i.restarts,
            i.exit_code, i.oom_killed, i.node_id as "node_id: NodeId", n.name as node,
            e.address as "address?: IpNetwork", i.port, i.usage, i.created_at, i.healthy_at,
            i.finished_at
        from instances i
        join nodes n on n.id = i.node_id
        left join endpoints e on e.instance_id = i.id and e.released_at is null
        where i.organisation_id = $1
            and ($2::uuid is null or i.id = $2)
            and ($3::uuid is null or i.project_id = $3)
            and ($4::uuid is null or i.environment_id = $4)
            and ($5::uuid is null or i.deployment_id = $5)
            and ($6::text is null or i.status = $6)
            and (not $7 or i.status not in ('stopped', 'failed'))
            and ($8::uuid is null or i.id < $8)
        order by i.id desc
        limit $9"#,
        organisation as OrganisationId,
        id as Option<InstanceId>,
        filter.project as Option<ProjectId>,
        filter.environment as Option<EnvironmentId>,
        filter.deployment as Option<DeploymentId>,
        filter.status.map(InstanceStatus::as_str),
        filter.running,
        before as Option<InstanceId>,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}
