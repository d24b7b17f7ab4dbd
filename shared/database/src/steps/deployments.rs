//! Steps of deployments and their wishes.

use sqlx::PgConnection;
use zeitwork_model::deployment::DeploymentStatus;
use zeitwork_model::id::{BuildId, DeploymentId, EnvironmentId, ImageId, OrganisationId};
use zeitwork_model::reason::Reason;

use super::changed;
use crate::Result;
use crate::events::{self, NewEvent};

/// A deployment that a step has changed.
#[derive(Debug, Clone, Copy)]
pub struct Changed {
    /// Which.
    pub id: DeploymentId,
    /// Where.
    pub environment_id: EnvironmentId,
    /// Whose.
    pub organisation_id: OrganisationId,
}

impl Changed {
    /// Writes what happened to it into the journal; last in the transaction.
    ///
    /// # Errors
    /// Those of every statement.
    pub async fn journal(
        &self,
        connection: &mut PgConnection,
        kind: &str,
        text: &str,
    ) -> Result<()> {
        let event = NewEvent {
            organisation_id: self.organisation_id,
            environment_id: self.environment_id,
            kind,
            text,
            deployment_id: Some(self.id),
            instance_id: None,
            actor: "operator",
            request_id: None,
        };
        events::append(connection, &event).await
    }
}

/// Which deployments have their image.
#[derive(Debug, Clone, Copy)]
pub enum Ready {
    /// All that wait for a build.
    Of(BuildId),
    /// One whose image was found.
    Found(DeploymentId),
}

/// Starts what has its image now.
///
/// # Errors
/// Those of every statement.
pub async fn start(
    connection: &mut PgConnection,
    ready: Ready,
    image: ImageId,
) -> Result<Vec<Changed>> {
    let (build, deployment) = match ready {
        Ready::Of(build) => (Some(build), None),
        Ready::Found(deployment) => (None, Some(deployment)),
    };
    let rows = sqlx::query_as!(
        Changed,
        r#"update deployments
        set status = 'starting', image_id = $3, starting_at = now(), deadline_at = null,
            reason_code = null, reason_text = null
        where (build_id = $1 or id = $2) and status in ('queued', 'building')
        returning id as "id: DeploymentId", environment_id as "environment_id: EnvironmentId",
            organisation_id as "organisation_id: OrganisationId""#,
        build as Option<BuildId>,
        deployment as Option<DeploymentId>,
        image as ImageId
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Ends all deployments that wait for a build as the build ended, with their pending wishes.
///
/// # Errors
/// Those of every statement.
pub async fn end_of_build(
    connection: &mut PgConnection,
    build: BuildId,
    status: DeploymentStatus,
    reason: &Reason,
) -> Result<Vec<Changed>> {
    let rows = sqlx::query_as!(
        Changed,
        r#"update deployments
        set status = $2, reason_code = $3, reason_text = $4, finished_at = now(),
            deadline_at = null
        where build_id = $1 and status in ('queued', 'building')
        returning id as "id: DeploymentId", environment_id as "environment_id: EnvironmentId",
            organisation_id as "organisation_id: OrganisationId""#,
        build as BuildId,
        status.as_str(),
        reason.code,
        reason.text
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in &rows {
        end_wishes(connection, row.id, status).await?;
    }
    Ok(rows)
}

/// Ends one deployment that is not live, with its pending wishes.
///
/// # Errors
/// [`crate::Error::Stale`] where it is in none of the states.
pub async fn end(
    connection: &mut PgConnection,
    deployment: DeploymentId,
    from: &[DeploymentStatus],
    status: DeploymentStatus,
    reason: &Reason,
) -> Result<Changed> {
    let from: Vec<String> = from.iter().map(ToString::to_string).collect();
    let row = sqlx::query_as!(
        Changed,
        r#"update deployments
        set status = $2, reason_code = $3, reason_text = $4, finished_at = now(),
            deadline_at = null
        where id = $1 and status = any($5)
        returning id as "id: DeploymentId", environment_id as "environment_id: EnvironmentId",
            organisation_id as "organisation_id: OrganisationId""#,
        deployment as DeploymentId,
        status.as_str(),
        reason.code,
        reason.text,
        &from
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(crate::Error::Stale("deployment"))?;
    end_wishes(connection, deployment, status).await?;
    Ok(row)
}

async fn end_wishes(
    connection: &mut PgConnection,
    deployment: DeploymentId,
    status: DeploymentStatus,
) -> Result<()> {
    sqlx::query!(
        "update wishes set status = $2, ended_at = now()
        where deployment_id = $1 and status = 'pending'",
        deployment as DeploymentId,
        status.as_str()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes the deployment of the environment's newest pending wish live, and retires the one
/// before, under the environment's row lock.
///
/// # Errors
/// [`crate::Error::Stale`] where it is not starting any more or a newer wish was recorded.
pub async fn go_live(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    deployment: DeploymentId,
) -> Result<Changed> {
    let wish = sqlx::query!(
        "select w.id from environments e
        join wishes w on w.environment_id = e.id and w.generation = e.generation
        join deployments d on d.id = w.deployment_id
        where e.id = $1 and e.deleted_at is null and w.deployment_id = $2
            and w.status = 'pending' and d.status = 'starting'
        for update of e, w, d",
        environment as EnvironmentId,
        deployment as DeploymentId
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(crate::Error::Stale("deployment"))?;
    retire(connection, environment, "Another deployment is live.").await?;
    sqlx::query!("update wishes set status = 'live' where id = $1", wish.id)
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query_as!(
        Changed,
        r#"update deployments
        set status = 'live', live_at = now(), finished_at = null, deadline_at = null,
            reason_code = null, reason_text = null
        where id = $1 and status = 'starting'
        returning id as "id: DeploymentId", environment_id as "environment_id: EnvironmentId",
            organisation_id as "organisation_id: OrganisationId""#,
        deployment as DeploymentId
    )
    .fetch_one(connection)
    .await?;
    Ok(row)
}

/// Retires what is live in an environment, which another replaces or which was deleted.
async fn retire(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    why: &str,
) -> Result<()> {
    sqlx::query!(
        "update wishes set status = 'retired', ended_at = now()
        where environment_id = $1 and status = 'live'",
        environment as EnvironmentId
    )
    .execute(&mut *connection)
    .await?;
    let retired = sqlx::query_as!(
        Changed,
        r#"update deployments set status = 'retired', finished_at = now()
        where environment_id = $1 and status = 'live'
        returning id as "id: DeploymentId", environment_id as "environment_id: EnvironmentId",
            organisation_id as "organisation_id: OrganisationId""#,
        environment as EnvironmentId
    )
    .fetch_all(&mut *connection)
    .await?;
    for deployment in retired {
        deployment.journal(connection, "deployment.retired", why).await?;
    }
    Ok(())
}

/// Ends all that is under way in a deleted environment; what is live is retired.
///
/// # Errors
/// Those of every statement.
pub async fn end_all(connection: &mut PgConnection, environment: EnvironmentId) -> Result<()> {
    const WHY: &str = "The environment or its project was deleted.";
    sqlx::query!(
        "select id from environments where id = $1 for no key update",
        environment as EnvironmentId
    )
    .fetch_optional(&mut *connection)
    .await?;
    retire(connection, environment, WHY).await?;
    sqlx::query!(
        "update wishes set status = 'cancelled', ended_at = now()
        where environment_id = $1 and status = 'pending'",
        environment as EnvironmentId
    )
    .execute(&mut *connection)
    .await?;
    let cancelled = sqlx::query_as!(
        Changed,
        r#"update deployments
        set status = 'cancelled', reason_code = 'deleted', finished_at = now(), deadline_at = null,
            reason_text = $2
        where environment_id = $1 and status in ('queued', 'building', 'starting')
        returning id as "id: DeploymentId", environment_id as "environment_id: EnvironmentId",
            organisation_id as "organisation_id: OrganisationId""#,
        environment as EnvironmentId,
        WHY
    )
    .fetch_all(&mut *connection)
    .await?;
    for deployment in cancelled {
        deployment.journal(connection, "deployment.cancelled", WHY).await?;
    }
    Ok(())
}

/// Writes why a deployment in a state waits, where it is not what is written; wakes nobody
/// otherwise. What has moved on has another reason: nothing is stale here.
///
/// # Errors
/// Those of every statement.
pub async fn explain(
    connection: &mut PgConnection,
    deployment: DeploymentId,
    status: DeploymentStatus,
    reason: &Reason,
) -> Result<()> {
    sqlx::query!(
        "update deployments set reason_code = $3, reason_text = $4
        where id = $1 and status = $2
            and (reason_code, reason_text) is distinct from ($3, $4)",
        deployment as DeploymentId,
        status.as_str(),
        reason.code,
        reason.text
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes back that no node has the image of a live deployment.
///
/// # Errors
/// Those of every statement.
pub async fn image_found(connection: &mut PgConnection, deployment: DeploymentId) -> Result<()> {
    sqlx::query!(
        "update deployments set reason_code = null, reason_text = null
        where id = $1 and status = 'live' and reason_code = $2",
        deployment as DeploymentId,
        zeitwork_model::reason::IMAGE_LOST
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets the commit that a reference was resolved to.
///
/// # Errors
/// [`crate::Error::Stale`] where the deployment waits for none any more.
pub async fn resolve(
    connection: &mut PgConnection,
    deployment: DeploymentId,
    commit: &str,
    message: &str,
    author: &str,
) -> Result<()> {
    let done = sqlx::query!(
        "update deployments
        set commit_sha = $2, message = $3, author = $4, reason_code = null, reason_text = null
        where id = $1 and status = 'queued' and commit_sha is null",
        deployment as DeploymentId,
        commit,
        message,
        author
    )
    .execute(connection)
    .await?;
    changed("deployment", done.rows_affected())
}

/// A deployment that waits beyond its deadline.
#[derive(Debug, Clone, Copy)]
pub struct Overdue {
    /// Which.
    pub id: DeploymentId,
    /// Queued or building.
    pub status: DeploymentStatus,
    /// Its commit is known.
    pub has_commit: bool,
}

/// Deployments that wait for their commit, their builder or their build beyond their deadline.
///
/// # Errors
/// Those of every statement.
pub async fn overdue(connection: &mut PgConnection) -> Result<Vec<Overdue>> {
    let rows = sqlx::query_as!(
        Overdue,
        r#"select id as "id: DeploymentId", status as "status: DeploymentStatus",
            commit_sha is not null as "has_commit!"
        from deployments
        where status in ('queued', 'building') and deadline_at < now()
        order by deadline_at
        limit 1000"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Locks the environment of a deployment. Environments come before builds, builds before
/// deployments and these before wishes in every transaction, and an event is numbered under the
/// environment's lock: whoever writes one takes it first, so that nobody waits in a circle.
///
/// # Errors
/// Those of every statement.
pub async fn lock_environment(
    connection: &mut PgConnection,
    deployment: DeploymentId,
) -> Result<()> {
    sqlx::query!(
        "select e.id from environments e
        where e.id = (select environment_id from deployments where id = $1)
        for no key update",
        deployment as DeploymentId
    )
    .fetch_optional(connection)
    .await?;
    Ok(())
}

/// Locks the environments whose deployments wait for a build; see [`lock_environment`].
///
/// # Errors
/// Those of every statement.
pub async fn lock_environments(connection: &mut PgConnection, build: BuildId) -> Result<()> {
    sqlx::query!(
        "select e.id from environments e
        where e.id in (select environment_id from deployments
                       where build_id = $1 and status in ('queued', 'building'))
        order by e.id
        for no key update",
        build as BuildId
    )
    .fetch_all(connection)
    .await?;
    Ok(())
}
