//! Steps of instances and their endpoints.

use sqlx::PgConnection;
use sqlx::types::ipnetwork::IpNetwork;
use zeitwork_model::id::{
    DeploymentId, EnvironmentId, InstanceId, NodeId, OrganisationId, ProjectId,
};
use zeitwork_model::instance::InstanceStatus;
use zeitwork_model::reason::{NODE_LOST, Reason};

use super::changed;
use crate::Result;

/// An instance to be made.
#[derive(Debug, Clone)]
pub struct NewInstance<'a> {
    /// Whose.
    pub organisation_id: OrganisationId,
    /// Of which project.
    pub project_id: ProjectId,
    /// Where.
    pub environment_id: EnvironmentId,
    /// Of which deployment; only one that is starting or live gets instances.
    pub deployment_id: DeploymentId,
    /// Of which process.
    pub process: &'a str,
    /// On which node.
    pub node_id: NodeId,
    /// At which address: one that is reserved violates `endpoints_node_id_address_key`.
    pub address: std::net::Ipv4Addr,
    /// Where it listens.
    pub port: u16,
    /// How many members the process may have with it: where another operator was faster, it has
    /// them by now.
    pub most_members: i64,
}

/// Reserves the endpoint and creates the instance with its log.
///
/// # Errors
/// [`crate::Error::Stale`] where the deployment is over or has all its members by now.
pub async fn create(connection: &mut PgConnection, new: &NewInstance<'_>) -> Result<InstanceId> {
    // One operator at a time counts and creates: the deployment's row is the lock. The count is
    // a statement of its own, so that it sees what was committed while this one waited.
    sqlx::query!(
        "select id from deployments where id = $1 and status in ('starting', 'live') for update",
        new.deployment_id as DeploymentId
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(crate::Error::Stale("deployment"))?;
    let row = sqlx::query!(
        r#"select count(*) as "members!" from instances
        where deployment_id = $1 and process = $2 and goal = 'run'
            and status not in ('draining', 'stopped', 'failed')"#,
        new.deployment_id as DeploymentId,
        new.process
    )
    .fetch_one(&mut *connection)
    .await?;
    if row.members >= new.most_members {
        return Err(crate::Error::Stale("deployment"));
    }
    let id = InstanceId::new();
    insert(connection, id, new).await?;
    sqlx::query!(
        "insert into endpoints (instance_id, node_id, address, port) values ($1, $2, $3, $4)",
        id as InstanceId,
        new.node_id as NodeId,
        IpNetwork::from(std::net::IpAddr::V4(new.address)),
        i32::from(new.port)
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "insert into log_streams (stream, organisation_id, project_id, environment_id, node_id)
        values ($1, $2, $3, $4, $5)",
        id.to_string(),
        new.organisation_id as OrganisationId,
        new.project_id as ProjectId,
        new.environment_id as EnvironmentId,
        new.node_id as NodeId
    )
    .execute(connection)
    .await?;
    Ok(id)
}

async fn insert(
    connection: &mut PgConnection,
    id: InstanceId,
    new: &NewInstance<'_>,
) -> Result<()> {
    sqlx::query!(
        "insert into instances (id, organisation_id, project_id, environment_id, deployment_id,
            node_id, process, port)
        values ($1, $2, $3, $4, $5, $6, $7, $8)",
        id as InstanceId,
        new.organisation_id as OrganisationId,
        new.project_id as ProjectId,
        new.environment_id as EnvironmentId,
        new.deployment_id as DeploymentId,
        new.node_id as NodeId,
        new.process,
        i32::from(new.port)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What a report says about an instance.
#[derive(Debug, Clone)]
pub struct Observed<'a> {
    /// How it was when it was read.
    pub from: InstanceStatus,
    /// How it is.
    pub status: InstanceStatus,
    /// Why it is not healthy.
    pub reason: Option<&'a Reason>,
    /// Starts after the first.
    pub restarts: i32,
    /// Of its last end.
    pub exit_code: Option<i32>,
    /// Whether its last end was for lack of memory.
    pub oom_killed: bool,
    /// Seconds until an unhealthy one is replaced.
    pub unhealthy_seconds: f64,
}

/// Writes what a node observed. An endpoint of what is gone is released.
///
/// # Errors
/// [`crate::Error::Stale`] where its status has changed.
pub async fn observe(
    connection: &mut PgConnection,
    id: InstanceId,
    observed: &Observed<'_>,
) -> Result<()> {
    let done = sqlx::query!(
        "update instances
        set status = $3, reason_code = $4, reason_text = $5, restarts = $6, exit_code = $7,
            oom_killed = $8,
            started_at = case when $3 in ('starting', 'healthy')
                then coalesce(started_at, now()) else started_at end,
            healthy_at = case when $3 = 'healthy' then coalesce(healthy_at, now())
                else healthy_at end,
            finished_at = case when $3 in ('stopped', 'failed') then now() end,
            deadline_at = case when $3 = 'unhealthy' and $2 <> 'unhealthy'
                    then now() + make_interval(secs => $9)
                when $3 in ('unhealthy', 'draining') then deadline_at end
        where id = $1 and status = $2",
        id as InstanceId,
        observed.from.as_str(),
        observed.status.as_str(),
        observed.reason.map(|r| r.code.as_str()),
        observed.reason.map(|r| r.text.as_str()),
        observed.restarts,
        observed.exit_code,
        observed.oom_killed,
        observed.unhealthy_seconds
    )
    .execute(&mut *connection)
    .await?;
    changed("instance", done.rows_affected())?;
    if observed.status.is_final() { release(connection, id).await } else { Ok(()) }
}

/// Notes what an instance uses; wakes nobody.
///
/// # Errors
/// Those of every statement.
pub async fn note_usage(
    connection: &mut PgConnection,
    ids: &[InstanceId],
    usages: &[serde_json::Value],
) -> Result<()> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
    sqlx::query!(
        "update instances i set usage = u.usage
        from unnest($1::uuid[], $2::jsonb[]) as u (id, usage)
        where i.id = u.id",
        &ids,
        usages
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes an instance out of service; what is in flight may end.
///
/// # Errors
/// [`crate::Error::Stale`] where it drains or is gone.
pub async fn drain(connection: &mut PgConnection, id: InstanceId) -> Result<()> {
    let done = sqlx::query!(
        "update instances set status = 'draining', draining_at = now()
        where id = $1 and goal = 'run' and status not in ('draining', 'stopped', 'failed')",
        id as InstanceId
    )
    .execute(connection)
    .await?;
    changed("instance", done.rows_affected())
}

/// Freezes a drained instance.
///
/// # Errors
/// [`crate::Error::Stale`] where it is not draining any more.
pub async fn rest(connection: &mut PgConnection, id: InstanceId) -> Result<()> {
    let done = sqlx::query!(
        "update instances set goal = 'pause', rested_at = now()
        where id = $1 and status = 'draining' and goal = 'run'",
        id as InstanceId
    )
    .execute(connection)
    .await?;
    changed("instance", done.rows_affected())
}

/// Runs a draining or resting instance again. What was frozen or sick is routed to once its node
/// says that it is healthy under this goal; what was neither serves on.
///
/// # Errors
/// [`crate::Error::Stale`] where it is being stopped or gone.
pub async fn revive(connection: &mut PgConnection, id: InstanceId) -> Result<()> {
    let done = sqlx::query!(
        "update instances
        set goal = 'run', draining_at = null, rested_at = null,
            deadline_at = null,
            status = case when goal = 'run' and deadline_at is null then 'healthy'
                else 'starting' end
        where id = $1 and status = 'draining' and goal in ('run', 'pause')",
        id as InstanceId
    )
    .execute(connection)
    .await?;
    changed("instance", done.rows_affected())
}

/// Stops an instance: for good.
///
/// # Errors
/// [`crate::Error::Stale`] where that was said before or it is gone.
pub async fn stop(connection: &mut PgConnection, id: InstanceId) -> Result<()> {
    let done = sqlx::query!(
        "update instances
        set goal = 'stop', status = 'draining', draining_at = coalesce(draining_at, now())
        where id = $1 and goal <> 'stop' and status not in ('stopped', 'failed')",
        id as InstanceId
    )
    .execute(connection)
    .await?;
    changed("instance", done.rows_affected())
}

/// Counts an instance of a lost node as gone.
///
/// # Errors
/// [`crate::Error::Stale`] where it is gone.
pub async fn give_up(connection: &mut PgConnection, id: InstanceId) -> Result<()> {
    let done = sqlx::query!(
        "update instances
        set status = 'failed', goal = 'stop', finished_at = now(), reason_code = $2,
            reason_text = 'Its node has not reported for more than 20 seconds.'
        where id = $1 and status = 'draining'",
        id as InstanceId,
        NODE_LOST
    )
    .execute(&mut *connection)
    .await?;
    changed("instance", done.rows_affected())?;
    release(connection, id).await
}

/// Stops the instance that rests longest on any node, to make room; returns whether one did.
///
/// # Errors
/// Those of every statement.
pub async fn stop_longest_rested(connection: &mut PgConnection) -> Result<bool> {
    let id = sqlx::query!(
        r#"select id as "id: InstanceId" from instances
        where goal = 'pause' and status = 'draining'
        order by rested_at
        limit 1"#
    )
    .fetch_optional(&mut *connection)
    .await?;
    match id {
        Some(row) => stop(connection, row.id).await.map(|()| true),
        None => Ok(false),
    }
}

async fn release(connection: &mut PgConnection, id: InstanceId) -> Result<()> {
    sqlx::query!(
        "update endpoints set released_at = coalesce(released_at, now()) where instance_id = $1",
        id as InstanceId
    )
    .execute(connection)
    .await?;
    Ok(())
}
