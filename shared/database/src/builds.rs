//! Builds as they are shown, and asked to end.

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::build::BuildStatus;
use zeitwork_model::id::{BuildId, OrganisationId, ProjectId};

use crate::{Error, Result};

/// A build.
#[derive(Debug, Clone)]
pub struct Build {
    /// Its id.
    pub id: BuildId,
    /// Its project.
    pub project_id: ProjectId,
    /// What is built.
    pub commit_sha: String,
    /// How far it is.
    pub status: BuildStatus,
    /// What it is at.
    pub step: Option<String>,
    /// How often it was tried.
    pub attempt: i32,
    /// Why it is where it is.
    pub reason_code: Option<String>,
    /// The same for people.
    pub reason_text: Option<String>,
    /// When somebody asked for its end.
    pub cancel_requested_at: Option<OffsetDateTime>,
    /// When it was queued.
    pub created_at: OffsetDateTime,
    /// When it began.
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    pub finished_at: Option<OffsetDateTime>,
}

/// Which builds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Of one project.
    pub project: Option<ProjectId>,
    /// In one state.
    pub status: Option<BuildStatus>,
}

/// The organisation's builds, newest first.
///
/// # Errors
/// Those of every statement.
pub async fn list(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    filter: Filter,
    before: Option<BuildId>,
    limit: i64,
) -> Result<Vec<Build>> {
    select(connection, organisation, filter, None, before, limit).await
}

/// One build.
///
/// # Errors
/// Those of every statement.
pub async fn get(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: BuildId,
) -> Result<Option<Build>> {
    Ok(select(connection, organisation, Filter::default(), Some(id), None, 1).await?.pop())
}

async fn select(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    filter: Filter,
    id: Option<BuildId>,
    before: Option<BuildId>,
    limit: i64,
) -> Result<Vec<Build>> {
    let rows = sqlx::query_as!(
        Build,
        r#"select id as "id: BuildId", project_id as "project_id: ProjectId", commit_sha,
            status as "status: BuildStatus", step, attempt, reason_code, reason_text,
            cancel_requested_at, created_at, started_at, finished_at
        from builds
        where organisation_id = $1
            and ($2::uuid is null or id = $2)
            and ($3::uuid is null or project_id = $3)
            and ($4::text is null or status = $4)
            and ($5::uuid is null or id < $5)
        order by id desc
        limit $6"#,
        organisation as OrganisationId,
        id as Option<BuildId>,
        filter.project as Option<ProjectId>,
        filter.status.map(BuildStatus::as_str),
        before as Option<BuildId>,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Asks for the end of a build; the operator takes it from the node, which kills it.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Stale`] where it has ended.
pub async fn request_cancel(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: BuildId,
) -> Result<()> {
    let done = sqlx::query!(
        "update builds set cancel_requested_at = coalesce(cancel_requested_at, now())
        where organisation_id = $1 and id = $2 and status in ('queued', 'running')",
        organisation as OrganisationId,
        id as BuildId
    )
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() > 0 {
        return Ok(());
    }
    let known = get(connection, organisation, id).await?;
    Err(known.map_or(Error::NotFound("build"), |_| Error::Stale("build")))
}
