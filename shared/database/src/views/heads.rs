//! What environments were shown of their branches, and what was wished for.

use sqlx::PgConnection;
use zeitwork_model::id::{EnvironmentId, OrganisationId, ProjectId};

use crate::Result;

/// An environment that follows branches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    /// Which.
    pub id: EnvironmentId,
    /// Whose.
    pub organisation_id: OrganisationId,
    /// Its name.
    pub name: String,
    /// Name or pattern; none: the default branch.
    pub branch: Option<String>,
    /// Newest commit that it was shown.
    pub head_commit: Option<String>,
    /// Of its newest wish.
    pub generation: i64,
}

/// The environments of a project.
///
/// # Errors
/// Those of every statement.
pub async fn followers(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    project: ProjectId,
) -> Result<Vec<Follower>> {
    let rows = sqlx::query_as!(
        Follower,
        r#"select id as "id: EnvironmentId", organisation_id as "organisation_id: OrganisationId",
            name, branch, head_commit, generation
        from environments
        where organisation_id = $1 and project_id = $2 and deleted_at is null
        order by id
        limit 1000"#,
        organisation as OrganisationId,
        project as ProjectId
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// The same environment as it is now, under the lock of its row; none where it is deleted.
///
/// # Errors
/// Those of every statement.
pub async fn lock(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    environment: EnvironmentId,
) -> Result<Option<Follower>> {
    let row = sqlx::query_as!(
        Follower,
        r#"select id as "id: EnvironmentId", organisation_id as "organisation_id: OrganisationId",
            name, branch, head_commit, generation
        from environments
        where organisation_id = $1 and id = $2 and deleted_at is null
        for update"#,
        organisation as OrganisationId,
        environment as EnvironmentId
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}

/// The newest commit of one branch that a push made a wish for.
///
/// # Errors
/// Those of every statement.
pub async fn of_branch(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    environment: EnvironmentId,
    branch: &str,
) -> Result<Option<String>> {
    let commit = sqlx::query_scalar!(
        "select commit_sha from deployments
        where organisation_id = $1 and environment_id = $2 and trigger = 'push'
            and reference = $3
        order by id desc
        limit 1",
        organisation as OrganisationId,
        environment as EnvironmentId,
        branch
    )
    .fetch_optional(connection)
    .await?;
    Ok(commit.flatten())
}

/// Generation of the newest wish for a commit.
///
/// # Errors
/// Those of every statement.
pub async fn wished(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    environment: EnvironmentId,
    commit: &str,
) -> Result<Option<i64>> {
    let generation = sqlx::query_scalar!(
        "select max(w.generation) from wishes w
        join deployments d on d.id = w.deployment_id
        where d.organisation_id = $1 and d.environment_id = $2 and d.commit_sha = $3",
        organisation as OrganisationId,
        environment as EnvironmentId,
        commit
    )
    .fetch_one(connection)
    .await?;
    Ok(generation)
}

/// Whether the newest wish waits for its commit: what it will be is not known yet.
///
/// # Errors
/// Those of every statement.
pub async fn is_unresolved(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    environment: EnvironmentId,
) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select exists (
            select 1 from deployments
            where organisation_id = $1 and environment_id = $2 and status = 'queued'
                and commit_sha is null
        ) as "found!""#,
        organisation as OrganisationId,
        environment as EnvironmentId
    )
    .fetch_one(connection)
    .await?;
    Ok(found)
}

/// Remembers the head that the environment was shown.
///
/// # Errors
/// Those of every statement.
pub async fn remember(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    environment: EnvironmentId,
    commit: &str,
) -> Result<()> {
    sqlx::query!(
        "update environments set head_commit = $3
        where organisation_id = $1 and id = $2",
        organisation as OrganisationId,
        environment as EnvironmentId,
        commit
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What was shown of an environment's branch when it was first looked at; nothing where a push
/// came first. An empty text says that there was no branch yet.
///
/// # Errors
/// Those of every statement.
pub async fn begin(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    environment: EnvironmentId,
    commit: &str,
) -> Result<()> {
    sqlx::query!(
        "update environments set head_commit = $3
        where organisation_id = $1 and id = $2 and head_commit is null",
        organisation as OrganisationId,
        environment as EnvironmentId,
        commit
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Connected projects with an environment whose branch nobody has looked at.
///
/// # Errors
/// Those of every statement.
pub async fn unseen(connection: &mut PgConnection) -> Result<Vec<ProjectId>> {
    let rows = sqlx::query_scalar!(
        r#"select distinct p.id as "id: ProjectId"
        from projects p
        join environments e on e.project_id = p.id
        where p.source_kind = 'github' and p.deleted_at is null
            and p.repository_id is not null and p.installation_id is not null
            and p.source_reason_code is null and e.deleted_at is null
            and e.head_commit is null
        limit 100"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}
