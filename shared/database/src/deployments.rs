//! Deployments as they are shown, and cancelled.

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::deployment::DeploymentStatus;
use zeitwork_model::environment::Trigger;
use zeitwork_model::id::{BuildId, DeploymentId, EnvironmentId, OrganisationId, ProjectId};

use crate::{Error, Result};

/// A deployment.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// Its project.
    pub project_id: ProjectId,
    /// Its environment.
    pub environment_id: EnvironmentId,
    /// Name of the environment.
    pub environment: String,
    /// Label of the environment's internal domain.
    pub label: Option<String>,
    /// What was asked for, where it was no commit.
    pub reference: Option<String>,
    /// The commit, once known.
    pub commit_sha: Option<String>,
    /// Of the commit.
    pub message: String,
    /// What made it.
    pub trigger: Trigger,
    /// How far it is.
    pub status: DeploymentStatus,
    /// Why it is where it is.
    pub reason_code: Option<String>,
    /// The same for people.
    pub reason_text: Option<String>,
    /// The build of its image.
    pub build_id: Option<BuildId>,
    /// When it was wished for first.
    pub created_at: OffsetDateTime,
    /// When it went live last.
    pub live_at: Option<OffsetDateTime>,
    /// When it ended.
    pub finished_at: Option<OffsetDateTime>,
}

/// Which deployments.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Of one project.
    pub project: Option<ProjectId>,
    /// Of one environment.
    pub environment: Option<EnvironmentId>,
    /// In one state.
    pub status: Option<DeploymentStatus>,
}

/// The organisation's deployments, newest first.
///
/// # Errors
/// Those of every statement.
pub async fn list(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    filter: Filter,
    before: Option<DeploymentId>,
    limit: i64,
) -> Result<Vec<Deployment>> {
    select(connection, organisation, filter, None, before, limit).await
}

/// One deployment.
///
/// # Errors
/// Those of every statement.
pub async fn get(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: DeploymentId,
) -> Result<Option<Deployment>> {
    Ok(select(connection, organisation, Filter::default(), Some(id), None, 1).await?.pop())
}

async fn select(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    filter: Filter,
    id: Option<DeploymentId>,
    before: Option<DeploymentId>,
    limit: i64,
) -> Result<Vec<Deployment>> {
    let rows = sqlx::query_as!(
        Deployment,
        r#"select p.id as "id: DeploymentId", p.project_id as "project_id: ProjectId",
            p.environment_id as "environment_id: EnvironmentId", e.name as environment,
            d.label as "label?", p.reference, p.commit_sha, p.message,
            p.trigger as "trigger: Trigger", p.status as "status: DeploymentStatus",
            p.reason_code, p.reason_text, p.build_id as "build_id: BuildId", p.created_at,
            p.live_at, p.finished_at
        from deployments p
        join environments e on e.id = p.environment_id
        left join domains d on d.environment_id = e.id and d.kind = 'internal'
        where p.organisation_id = $1
            and ($2::uuid is null or p.id = $2)
            and ($3::uuid is null or p.project_id = $3)
            and ($4::uuid is null or p.environment_id = $4)
            and ($5::text is null or p.status = $5)
            and ($6::uuid is null or p.id < $6)
        order by p.id desc
        limit $7"#,
        organisation as OrganisationId,
        id as Option<DeploymentId>,
        filter.project as Option<ProjectId>,
        filter.environment as Option<EnvironmentId>,
        filter.status.map(DeploymentStatus::as_str),
        before as Option<DeploymentId>,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// The deployment that the environment serves.
///
/// # Errors
/// Those of every statement.
pub async fn live(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    environment: EnvironmentId,
) -> Result<Option<Deployment>> {
    let filter = Filter {
        environment: Some(environment),
        status: Some(DeploymentStatus::Live),
        ..Filter::default()
    };
    Ok(select(connection, organisation, filter, None, None, 1).await?.pop())
}

/// The deployment that was live before the one that is (or, where none is, the last that was). What
/// is live because it was built again is the same as what it repeats.
///
/// # Errors
/// Those of every statement.
pub async fn live_before(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    environment: EnvironmentId,
) -> Result<Option<DeploymentId>> {
    let row = sqlx::query!(
        r#"select d.id as "id: DeploymentId" from deployments d
        where d.organisation_id = $1 and d.environment_id = $2 and d.status = 'retired'
            and d.image_id is not null and d.live_at is not null
            and not exists (
                select from deployments l
                where l.environment_id = $2 and l.status = 'live'
                    and coalesce(l.rebuild_of, l.id) = coalesce(d.rebuild_of, d.id))
        order by d.live_at desc
        limit 1"#,
        organisation as OrganisationId,
        environment as EnvironmentId
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| row.id))
}

/// The newest deployment of a build.
///
/// # Errors
/// Those of every statement.
pub async fn of_build(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    build: BuildId,
) -> Result<Option<DeploymentId>> {
    let row = sqlx::query!(
        r#"select id as "id: DeploymentId" from deployments
        where organisation_id = $1 and build_id = $2
        order by id desc
        limit 1"#,
        organisation as OrganisationId,
        build as BuildId
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| row.id))
}

/// Cancels a deployment that is not live yet, with its pending wishes, and asks for the end of a
/// build that nobody else waits for. The old deployment stays live.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Stale`] where it has ended or is live.
pub async fn cancel(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: DeploymentId,
    reason: &str,
) -> Result<()> {
    // Its environment and its build before itself: the order of every transaction.
    crate::steps::deployments::lock_environment(connection, id).await?;
    sqlx::query!(
        "select b.id from builds b
        join deployments d on d.build_id = b.id
        where d.organisation_id = $1 and d.id = $2 and b.status in ('queued', 'running')
        for no key update of b",
        organisation as OrganisationId,
        id as DeploymentId
    )
    .fetch_optional(&mut *connection)
    .await?;
    let row = sqlx::query!(
        r#"update deployments
        set status = 'cancelled', reason_code = 'cancelled', reason_text = $3,
            finished_at = now(), deadline_at = null
        where organisation_id = $1 and id = $2 and status in ('queued', 'building', 'starting')
        returning build_id as "build_id: BuildId""#,
        organisation as OrganisationId,
        id as DeploymentId,
        reason
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else {
        let known = get(connection, organisation, id).await?;
        return Err(known.map_or(Error::NotFound("deployment"), |_| Error::Stale("deployment")));
    };
    sqlx::query!(
        "update wishes set status = 'cancelled', ended_at = now()
        where organisation_id = $1 and deployment_id = $2 and status = 'pending'",
        organisation as OrganisationId,
        id as DeploymentId
    )
    .execute(&mut *connection)
    .await?;
    if let Some(build) = row.build_id {
        cancel_unwanted_build(connection, organisation, build).await?;
    }
    Ok(())
}

async fn cancel_unwanted_build(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    build: BuildId,
) -> Result<()> {
    sqlx::query!(
        "update builds set cancel_requested_at = coalesce(cancel_requested_at, now())
        where organisation_id = $1 and id = $2 and status in ('queued', 'running')
            and not exists (
                select 1 from deployments
                where build_id = $2 and status in ('queued', 'building', 'starting')
            )",
        organisation as OrganisationId,
        build as BuildId
    )
    .execute(connection)
    .await?;
    Ok(())
}
