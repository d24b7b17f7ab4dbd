//! Sources that wait for an answer of their server.

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::id::{DeploymentId, OrganisationId, ProjectId};
use zeitwork_model::project::SourceKind;

use crate::Result;

/// A GitHub project.
#[derive(Debug, Clone)]
pub struct GithubProject {
    /// Which.
    pub id: ProjectId,
    /// Whose.
    pub organisation_id: OrganisationId,
    /// Whose, as it is called.
    pub organisation: String,
    /// `owner/name`.
    pub repository: String,
    /// The number, once known.
    pub repository_id: Option<i64>,
    /// Through which installation, once known.
    pub installation_id: Option<i64>,
    /// Why it cannot be used.
    pub reason_code: Option<String>,
    /// The same for people.
    pub reason_text: Option<String>,
    /// When it was changed last by somebody else than us.
    pub updated_at: OffsetDateTime,
}

/// Projects of GitHub with their organisations, narrowed by the rest of the statement.
macro_rules! github_projects {
    ($rest:tt $(, $($arguments:tt)*)?) => {
        sqlx::query_as!(
            GithubProject,
            r#"select p.id as "id: ProjectId",
                p.organisation_id as "organisation_id: OrganisationId", o.slug as organisation,
                p.repository as "repository!", p.repository_id, p.installation_id,
                p.source_reason_code as reason_code, p.source_reason_text as reason_text,
                p.updated_at
            from projects p
            join organisations o on o.id = p.organisation_id
            where p.source_kind = 'github' and p.deleted_at is null "# + $rest
            $(, $($arguments)*)?
        )
    };
}

/// Projects whose repository is not resolved, or has a reason that may be over: first those that
/// nobody has looked at, then by how long ago they changed.
///
/// # Errors
/// Those of every statement.
pub async fn unresolved(connection: &mut PgConnection) -> Result<Vec<GithubProject>> {
    let rows = github_projects!(
        "and (p.repository_id is null or p.installation_id is null
        or p.source_reason_code is not null)
        order by p.source_reason_code is not null, p.updated_at
        limit 1000"
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// The projects with a repository, by its number; where none has it, those that wait for their
/// number and have its name.
///
/// # Errors
/// Those of every statement.
pub async fn of_repository(
    connection: &mut PgConnection,
    repository_id: i64,
    name: &str,
) -> Result<Vec<GithubProject>> {
    let rows = github_projects!(
        "and (p.repository_id = $1
        or p.repository_id is null and lower(p.repository) = lower($2))
        order by p.id
        limit 1000",
        repository_id,
        name
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Projects that can be asked for their branches, after the given one.
///
/// # Errors
/// Those of every statement.
pub async fn connected(
    connection: &mut PgConnection,
    after: Option<ProjectId>,
    limit: i64,
) -> Result<Vec<GithubProject>> {
    let rows = github_projects!(
        "and p.repository_id is not null and p.installation_id is not null
        and p.source_reason_code is null and ($1::uuid is null or p.id > $1)
        order by p.id
        limit $2",
        after as Option<ProjectId>,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// One project that can be asked for its branches.
///
/// # Errors
/// Those of every statement.
pub async fn connected_one(
    connection: &mut PgConnection,
    project: ProjectId,
) -> Result<Option<GithubProject>> {
    let row = github_projects!(
        "and p.id = $1
        and p.repository_id is not null and p.installation_id is not null
        and p.source_reason_code is null",
        project as ProjectId
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}

/// A deployment that waits for its commit.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Which.
    pub id: DeploymentId,
    /// Of which project.
    pub project_id: ProjectId,
    /// Where its code comes from.
    pub source_kind: SourceKind,
    /// Plain git.
    pub url: Option<String>,
    /// GitHub: `owner/name`.
    pub repository: Option<String>,
    /// GitHub: the number.
    pub repository_id: Option<i64>,
    /// GitHub: through which installation.
    pub installation_id: Option<i64>,
    /// Why the source cannot be used.
    pub reason_code: Option<String>,
    /// The same for people.
    pub reason_text: Option<String>,
    /// What was asked for; none: the environment's branch.
    pub reference: Option<String>,
    /// The environment's branch or pattern; none: the default branch.
    pub branch: Option<String>,
    /// Seconds until its deadline.
    pub seconds_left: Option<f64>,
}

/// Deployments that wait for their commit, oldest first.
///
/// # Errors
/// Those of every statement.
pub async fn waiting(connection: &mut PgConnection) -> Result<Vec<Waiting>> {
    let rows = sqlx::query_as!(
        Waiting,
        r#"select d.id as "id: DeploymentId", d.project_id as "project_id: ProjectId",
            p.source_kind as "source_kind: SourceKind", p.url, p.repository, p.repository_id,
            p.installation_id, p.source_reason_code as reason_code,
            p.source_reason_text as reason_text, d.reference, e.branch,
            extract(epoch from d.deadline_at - now())::float8 as seconds_left
        from deployments d
        join projects p on p.id = d.project_id
        join environments e on e.id = d.environment_id
        where d.status = 'queued' and d.commit_sha is null and p.deleted_at is null
            and p.source_kind <> 'image'
        order by d.id
        limit 500"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}
