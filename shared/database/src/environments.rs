//! Environments and their processes.

use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;
use zeitwork_model::environment::{EnvironmentKind, ProcessConfiguration};
use zeitwork_model::id::{EnvironmentId, OrganisationId, ProjectId};

use crate::{Error, Result};

/// An environment.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Its id.
    pub id: EnvironmentId,
    /// Its project.
    pub project_id: ProjectId,
    /// Unique in its project.
    pub name: String,
    /// What it is for.
    pub kind: EnvironmentKind,
    /// Pattern of the branches that it follows; none: the default branch.
    pub branch: Option<String>,
    /// Of the newest wish.
    pub generation: i64,
    /// Since when it is paused.
    pub paused_at: Option<OffsetDateTime>,
    /// Label of its internal domain.
    pub label: Option<String>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    pub updated_at: OffsetDateTime,
}

/// A process of an environment.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its environment.
    pub environment_id: EnvironmentId,
    /// `web` for the one that is routed to.
    pub name: String,
    /// How many instances are wanted.
    pub replicas: i32,
    /// What the next deployment will freeze.
    pub configuration: Json<ProcessConfiguration>,
}

/// An environment to be made.
#[derive(Debug, Clone)]
pub struct NewEnvironment<'a> {
    /// Its id.
    pub id: EnvironmentId,
    /// Whose it is.
    pub organisation_id: OrganisationId,
    /// Its project.
    pub project_id: ProjectId,
    /// One that is taken violates `environments_name`.
    pub name: &'a str,
    /// What it is for.
    pub kind: EnvironmentKind,
    /// Pattern of the branches that it follows.
    pub branch: Option<&'a str>,
}

/// How a caller names an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvironmentName<'a> {
    /// By id.
    Id(EnvironmentId),
    /// By name.
    Name(&'a str),
}

impl<'a> EnvironmentName<'a> {
    /// Names have no underscore, so the text tells which it is.
    #[must_use]
    pub fn from_text(text: &'a str) -> Self {
        text.parse().map_or(Self::Name(text), Self::Id)
    }
}

/// Makes an environment.
///
/// # Errors
/// Those of every statement.
pub async fn insert(connection: &mut PgConnection, new: &NewEnvironment<'_>) -> Result<()> {
    sqlx::query!(
        "insert into environments (id, organisation_id, project_id, name, kind, branch)
        values ($1, $2, $3, $4, $5, $6)",
        new.id as EnvironmentId,
        new.organisation_id as OrganisationId,
        new.project_id as ProjectId,
        new.name,
        new.kind.as_str(),
        new.branch
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The organisation's environments with their labels, narrowed by the rest of the statement.
macro_rules! environments {
    ($rest:tt, $($arguments:tt)*) => {
        sqlx::query_as!(
            Environment,
            r#"select e.id as "id: EnvironmentId", e.project_id as "project_id: ProjectId",
                e.name, e.kind as "kind: EnvironmentKind", e.branch, e.generation, e.paused_at,
                d.label as "label?", e.created_at, e.updated_at
            from environments e
            left join domains d on d.environment_id = e.id and d.kind = 'internal'
            where e.organisation_id = $1 and e.deleted_at is null "# + $rest,
            $($arguments)*
        )
    };
}

/// One environment of a project.
///
/// # Errors
/// Those of every statement.
pub async fn get(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    project: ProjectId,
    name: &EnvironmentName<'_>,
) -> Result<Option<Environment>> {
    let (id, name) = match name {
        EnvironmentName::Id(id) => (Some(*id), None),
        EnvironmentName::Name(name) => (None, Some(*name)),
    };
    let row = environments!(
        "and e.project_id = $2 and (e.id = $3 or e.name = $4)",
        organisation as OrganisationId,
        project as ProjectId,
        id as Option<EnvironmentId>,
        name
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}

/// The environments of some projects, oldest first (production is the first one made).
///
/// # Errors
/// Those of every statement.
pub async fn list(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    projects: &[ProjectId],
) -> Result<Vec<Environment>> {
    let projects: Vec<uuid::Uuid> = projects.iter().map(|id| id.0).collect();
    let rows = environments!(
        "and e.project_id = any($2) order by e.id limit 10000",
        organisation as OrganisationId,
        &projects
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// The environments of one project, newest first.
///
/// # Errors
/// Those of every statement.
pub async fn page(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    project: ProjectId,
    before: Option<EnvironmentId>,
    limit: i64,
) -> Result<Vec<Environment>> {
    let rows = environments!(
        "and e.project_id = $2 and ($3::uuid is null or e.id < $3)
        order by e.id desc
        limit $4",
        organisation as OrganisationId,
        project as ProjectId,
        before as Option<EnvironmentId>,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// How many environments a project has.
///
/// # Errors
/// Those of every statement.
pub async fn count(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    project: ProjectId,
) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from environments
        where organisation_id = $1 and project_id = $2 and deleted_at is null"#,
        organisation as OrganisationId,
        project as ProjectId
    )
    .fetch_one(connection)
    .await?;
    Ok(count)
}

/// Sets the branch pattern; none: the default branch.
///
/// # Errors
/// Those of every statement; [`Error::NotFound`].
pub async fn set_branch(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: EnvironmentId,
    branch: Option<&str>,
) -> Result<()> {
    let done = sqlx::query!(
        "update environments set branch = $3, updated_at = now()
        where organisation_id = $1 and id = $2 and deleted_at is null",
        organisation as OrganisationId,
        id as EnvironmentId,
        branch
    )
    .execute(connection)
    .await?;
    found(done.rows_affected())
}

/// Pauses or resumes; the operator freezes or wakes the instances. What waited to start meanwhile
/// has all its time from now on.
///
/// # Errors
/// Those of every statement; [`Error::NotFound`].
pub async fn set_paused(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: EnvironmentId,
    paused: bool,
) -> Result<()> {
    let done = sqlx::query!(
        "update environments
        set paused_at = case when $3 then coalesce(paused_at, now()) end, updated_at = now()
        where organisation_id = $1 and id = $2 and deleted_at is null",
        organisation as OrganisationId,
        id as EnvironmentId,
        paused
    )
    .execute(&mut *connection)
    .await?;
    found(done.rows_affected())?;
    sqlx::query!(
        "update deployments set starting_at = now()
        where environment_id = $1 and status = 'starting' and not $2",
        id as EnvironmentId,
        paused
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Marks an environment as deleted; the operator takes down what runs.
///
/// # Errors
/// Those of every statement; [`Error::NotFound`].
pub async fn delete(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: EnvironmentId,
) -> Result<()> {
    let done = sqlx::query!(
        "update environments set deleted_at = now(), updated_at = now()
        where organisation_id = $1 and id = $2 and deleted_at is null",
        organisation as OrganisationId,
        id as EnvironmentId
    )
    .execute(connection)
    .await?;
    found(done.rows_affected())
}

/// The processes of some environments.
///
/// # Errors
/// Those of every statement.
pub async fn processes(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    environments: &[EnvironmentId],
) -> Result<Vec<Process>> {
    let environments: Vec<uuid::Uuid> = environments.iter().map(|id| id.0).collect();
    let rows = sqlx::query_as!(
        Process,
        r#"select environment_id as "environment_id: EnvironmentId", name, replicas,
            configuration as "configuration: Json<ProcessConfiguration>"
        from processes
        where organisation_id = $1 and environment_id = any($2)
        order by environment_id, name
        limit 10000"#,
        organisation as OrganisationId,
        &environments
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Writes a process as it shall be.
///
/// # Errors
/// Those of every statement.
pub async fn put_process(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    process: &Process,
) -> Result<()> {
    sqlx::query!(
        "insert into processes (organisation_id, environment_id, name, replicas, configuration)
        values ($1, $2, $3, $4, $5)
        on conflict (environment_id, name) do update
        set replicas = excluded.replicas, configuration = excluded.configuration,
            updated_at = now()",
        organisation as OrganisationId,
        process.environment_id as EnvironmentId,
        process.name,
        process.replicas,
        Json(&process.configuration) as _
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets how many instances of a process are wanted.
///
/// # Errors
/// Those of every statement; [`Error::NotFound`].
pub async fn scale(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    environment: EnvironmentId,
    process: &str,
    replicas: i32,
) -> Result<()> {
    let done = sqlx::query!(
        "update processes set replicas = $4, updated_at = now()
        where organisation_id = $1 and environment_id = $2 and name = $3",
        organisation as OrganisationId,
        environment as EnvironmentId,
        process,
        replicas
    )
    .execute(connection)
    .await?;
    if done.rows_affected() == 0 { Err(Error::NotFound("process")) } else { Ok(()) }
}

fn found(rows: u64) -> Result<()> {
    if rows == 0 { Err(Error::NotFound("environment")) } else { Ok(()) }
}
