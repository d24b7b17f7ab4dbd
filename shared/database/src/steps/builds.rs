//! Steps of builds.

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::build::BuildStatus;
use zeitwork_model::id::{
    BuildId, DeploymentId, ImageId, NodeId, OrganisationId, ProjectId, VariableSetId,
};
use zeitwork_model::reason::Reason;

use super::changed;
use crate::views::builds::Unbuilt;
use crate::{Error, Result};

/// An image that a node has built.
#[derive(Debug, Clone, Copy)]
pub struct NewImage<'a> {
    /// Its id on the node's engine.
    pub engine_image: &'a str,
    /// Its size.
    pub size_bytes: i64,
    /// `linux/amd64`, …
    pub platform: &'a str,
    /// TCP ports that it exposes.
    pub exposed_ports: &'a [i32],
}

/// Queues a build for a deployment and gives it to the deployment.
///
/// # Errors
/// Those of every statement; a build of the same that was queued meanwhile violates
/// `builds_open_plan`.
pub async fn queue(connection: &mut PgConnection, new: &Unbuilt) -> Result<BuildId> {
    let id = BuildId::new();
    sqlx::query!(
        "insert into builds (id, organisation_id, project_id, commit_sha, root_directory,
            dockerfile, variable_set_id, plan_key, deadline_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, now() + interval '30 minutes')",
        id as BuildId,
        new.organisation_id as OrganisationId,
        new.project_id as ProjectId,
        new.commit_sha,
        new.root_directory,
        new.dockerfile,
        new.variable_set_id as VariableSetId,
        new.plan_key
    )
    .execute(&mut *connection)
    .await?;
    // Whoever looks for its log before a node has it finds an empty one.
    sqlx::query!(
        "insert into log_streams (stream, organisation_id, project_id) values ($1, $2, $3)",
        id.to_string(),
        new.organisation_id as OrganisationId,
        new.project_id as ProjectId
    )
    .execute(&mut *connection)
    .await?;
    join(connection, new.id, id).await?;
    Ok(id)
}

/// Lets a deployment wait for a build that is not over.
///
/// # Errors
/// [`Error::Stale`] where either has changed.
pub async fn join(
    connection: &mut PgConnection,
    deployment: DeploymentId,
    build: BuildId,
) -> Result<()> {
    let done = sqlx::query!(
        "update deployments d
        set build_id = b.id,
            status = case when b.status = 'running' then 'building' else d.status end,
            building_at = case when b.status = 'running' then now() end,
            deadline_at = b.deadline_at + interval '2 minutes'
        from builds b
        where d.id = $1 and d.status = 'queued' and d.build_id is null
            and b.id = $2 and b.status in ('queued', 'running')",
        deployment as DeploymentId,
        build as BuildId
    )
    .execute(connection)
    .await?;
    changed("deployment", done.rows_affected())
}

/// Gives a queued build to a node: the next attempt, under a lease, with its log open to the node.
///
/// # Errors
/// [`Error::Stale`] where it is not queued any more; another running build of its project
/// violates `builds_one_running`.
pub async fn claim(
    connection: &mut PgConnection,
    build: BuildId,
    node: NodeId,
    timeout_seconds: f64,
) -> Result<()> {
    let done = sqlx::query!(
        "update builds
        set status = 'running', attempt = attempt + 1, node_id = $2, step = null,
            lease_until = now() + interval '15 seconds', started_at = now(),
            deadline_at = now() + make_interval(secs => $3), reason_code = null, reason_text = null
        where id = $1 and status = 'queued' and cancel_requested_at is null",
        build as BuildId,
        node as NodeId,
        timeout_seconds
    )
    .execute(&mut *connection)
    .await?;
    changed("build", done.rows_affected())?;
    sqlx::query!(
        "update log_streams set node_id = $2 where stream = $1",
        build.to_string(),
        node as NodeId
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update deployments
        set status = 'building', building_at = coalesce(building_at, now()),
            reason_code = 'building',
            reason_text = (select format('%s builds the image (attempt %s of at most %s).',
                    n.name, b.attempt, b.maximum_attempts)
                from builds b join nodes n on n.id = b.node_id where b.id = $1)
        where build_id = $1 and status in ('queued', 'building')",
        build as BuildId
    )
    .execute(&mut *connection)
    .await?;
    outlive(connection, build).await
}

/// Renews the lease of the node that holds this attempt, and notes what it is at.
///
/// # Errors
/// [`Error::Stale`] where the attempt is over.
pub async fn renew(
    connection: &mut PgConnection,
    build: BuildId,
    (node, attempt): (NodeId, i32),
    step: &str,
    reported_at: OffsetDateTime,
) -> Result<()> {
    let done = sqlx::query!(
        "update builds
        set step = $4, lease_until = greatest(lease_until, $5::timestamptz + interval '15 seconds')
        where id = $1 and node_id = $2 and attempt = $3 and status = 'running'",
        build as BuildId,
        node as NodeId,
        attempt,
        step,
        reported_at
    )
    .execute(connection)
    .await?;
    changed("build", done.rows_affected())
}

/// Puts a running build back into the queue; its node lost it.
///
/// # Errors
/// [`Error::Stale`] where the attempt is over.
pub async fn requeue(connection: &mut PgConnection, build: BuildId, attempt: i32) -> Result<()> {
    let done = sqlx::query!(
        "update builds
        set status = 'queued', lease_until = null, node_id = null, step = null,
            not_before = now() + make_interval(secs => least(power(2, attempt - 1), 30)),
            deadline_at = now() + interval '30 minutes'
        where id = $1 and attempt = $2 and status = 'running'",
        build as BuildId,
        attempt
    )
    .execute(&mut *connection)
    .await?;
    changed("build", done.rows_affected())?;
    outlive(connection, build).await
}

/// Those that wait for a build wait two minutes longer than the build itself may.
async fn outlive(connection: &mut PgConnection, build: BuildId) -> Result<()> {
    sqlx::query!(
        "update deployments d set deadline_at = b.deadline_at + interval '2 minutes'
        from builds b
        where b.id = $1 and d.build_id = b.id and d.status in ('queued', 'building')",
        build as BuildId
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes back a build that its node was never told of, because its source could not be read
/// now: the attempt does not count, and its waiting goes on from where it was.
///
/// # Errors
/// [`Error::Stale`] where the attempt is over.
pub async fn hand_back(
    connection: &mut PgConnection,
    build: BuildId,
    attempt: i32,
    reason: &Reason,
) -> Result<()> {
    let done = sqlx::query!(
        "update builds
        set status = 'queued', lease_until = null, node_id = null, step = null,
            maximum_attempts = maximum_attempts + 1,
            deadline_at = greatest(created_at, not_before) + interval '30 minutes',
            reason_code = $3, reason_text = $4
        where id = $1 and attempt = $2 and status = 'running'",
        build as BuildId,
        attempt,
        reason.code,
        reason.text
    )
    .execute(&mut *connection)
    .await?;
    changed("build", done.rows_affected())?;
    outlive(connection, build).await
}

/// Writes why a queued build waits, where it is not what is written, with all that wait for it.
///
/// # Errors
/// Those of every statement.
pub async fn explain(connection: &mut PgConnection, build: BuildId, reason: &Reason) -> Result<()> {
    sqlx::query!(
        "update builds set reason_code = $2, reason_text = $3
        where id = $1 and status = 'queued'
            and (reason_code, reason_text) is distinct from ($2, $3)",
        build as BuildId,
        reason.code,
        reason.text
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update deployments set reason_code = $2, reason_text = $3
        where build_id = $1 and status in ('queued', 'building')
            and (reason_code, reason_text) is distinct from ($2, $3)",
        build as BuildId,
        reason.code,
        reason.text
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends a build otherwise than well.
///
/// # Errors
/// [`Error::Stale`] where it is over, or at another attempt.
pub async fn end(
    connection: &mut PgConnection,
    build: BuildId,
    attempt: i32,
    status: BuildStatus,
    reason: Option<&Reason>,
) -> Result<()> {
    let done = sqlx::query!(
        "update builds
        set status = $3, lease_until = null, finished_at = now(), deadline_at = null,
            reason_code = $4, reason_text = $5
        where id = $1 and attempt = $2 and status in ('queued', 'running')",
        build as BuildId,
        attempt,
        status.as_str(),
        reason.map(|r| r.code.as_str()),
        reason.map(|r| r.text.as_str())
    )
    .execute(&mut *connection)
    .await?;
    changed("build", done.rows_affected())?;
    close_log(connection, build).await
}

async fn close_log(connection: &mut PgConnection, build: BuildId) -> Result<()> {
    sqlx::query!(
        "update log_streams set ended_at = now() where stream = $1 and ended_at is null
            and node_id is null",
        build.to_string()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends a build well: its image and where it is. The deployments that wait are told by
/// [`super::deployments::start`].
///
/// # Errors
/// [`Error::Stale`] where the attempt is over.
pub async fn succeed(
    connection: &mut PgConnection,
    build: BuildId,
    (node, attempt): (NodeId, i32),
    image: NewImage<'_>,
) -> Result<ImageId> {
    let owner = sqlx::query!(
        r#"select organisation_id as "organisation: OrganisationId",
            project_id as "project: ProjectId"
        from builds
        where id = $1 and node_id = $2 and attempt = $3 and status = 'running'
            and cancel_requested_at is null
        for update"#,
        build as BuildId,
        node as NodeId,
        attempt
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(Error::Stale("build"))?;
    let row = sqlx::query!(
        r#"insert into images (id, organisation_id, project_id, content_id, size_bytes, platform,
            exposed_ports)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (project_id, content_id) where deleted_at is null
        do update set size_bytes = excluded.size_bytes, held_at = now()
        returning id as "id: ImageId""#,
        ImageId::new() as ImageId,
        owner.organisation as OrganisationId,
        owner.project as ProjectId,
        image.engine_image,
        image.size_bytes,
        image.platform,
        image.exposed_ports
    )
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query!(
        "insert into image_locations (image_id, node_id, engine_image) values ($1, $2, $3)
        on conflict (image_id, node_id)
        do update set engine_image = excluded.engine_image, last_used_at = now(), gone_at = null",
        row.id as ImageId,
        node as NodeId,
        image.engine_image
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update builds
        set status = 'succeeded', image_id = $2, lease_until = null, finished_at = now(),
            deadline_at = null, reason_code = null, reason_text = null
        where id = $1",
        build as BuildId,
        row.id as ImageId
    )
    .execute(connection)
    .await?;
    Ok(row.id)
}
