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
    /// Newest commit that it was shown, where it follows one branch.
    pub head_commit: Option<String>,
    /// The pattern whose branches were all looked at once.
    pub seen_pattern: Option<String>,
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
            name, branch, head_commit, seen_pattern, generation
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
            name, branch, head_commit, seen_pattern, generation
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

/// What an environment that follows a pattern was shown of one branch.
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
        "select head_commit from seen_branches
        where organisation_id = $1 and environment_id = $2 and branch = $3",
        organisation as OrganisationId,
        environment as EnvironmentId,
        branch
    )
    .fetch_optional(connection)
    .await?;
    Ok(commit)
}

/// Remembers what an environment that follows a pattern was shown of one branch.
///
/// # Errors
/// Those of every statement.
pub async fn remember_branch(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    environment: EnvironmentId,
    branch: &str,
    commit: &str,
) -> Result<()> {
    sqlx::query!(
        "insert into seen_branches (organisation_id, environment_id, branch, head_commit)
        values ($1, $2, $3, $4)
        on conflict (environment_id, branch)
        do update set head_commit = excluded.head_commit, seen_at = now()",
        organisation as OrganisationId,
        environment as EnvironmentId,
        branch,
        commit
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Remembers the branches that were there when a pattern was first looked at, but those that a
/// push has shown since, and that all were looked at. Nothing where the pattern is another now.
///
/// # Errors
/// Those of every statement.
pub async fn begin_pattern(
    connection: &mut PgConnection,
    follower: &Follower,
    branches: &[(&str, &str)],
) -> Result<()> {
    let done = sqlx::query!(
        "update environments set seen_pattern = branch
        where organisation_id = $1 and id = $2 and branch = $3 and deleted_at is null",
        follower.organisation_id as OrganisationId,
        follower.id as EnvironmentId,
        follower.branch
    )
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    let (names, commits): (Vec<String>, Vec<String>) =
        branches.iter().map(|(name, head)| ((*name).to_owned(), (*head).to_owned())).unzip();
    sqlx::query!(
        "insert into seen_branches (organisation_id, environment_id, branch, head_commit)
        select $1, $2, b.name, b.head
        from unnest($3::text[], $4::text[]) b (name, head)
        on conflict (environment_id, branch) do nothing",
        follower.organisation_id as OrganisationId,
        follower.id as EnvironmentId,
        &names,
        &commits
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets branches that are gone, but those shown within the last minutes: the list may be
/// older than they are.
///
/// # Errors
/// Those of every statement.
pub async fn forget_branches(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    present: &[String],
) -> Result<()> {
    sqlx::query!(
        "delete from seen_branches
        where environment_id = $1 and branch <> all($2)
            and seen_at < now() - interval '10 minutes'",
        environment as EnvironmentId,
        present
    )
    .execute(connection)
    .await?;
    Ok(())
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
            and case when e.branch like '%*%' then e.seen_pattern is distinct from e.branch
                else e.head_commit is null end
        limit 100"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}
