//! Projects and their data keys.

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::id::{OrganisationId, ProjectId};
use zeitwork_model::project::SourceKind;

use crate::{Error, Result};

/// A project.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Whose it is.
    pub organisation_id: OrganisationId,
    /// Unique in its organisation.
    pub slug: String,
    /// For people.
    pub name: String,
    /// Where its code comes from.
    pub source_kind: SourceKind,
    /// GitHub: `owner/name`.
    pub repository: Option<String>,
    /// GitHub: the identity, once resolved.
    pub repository_id: Option<i64>,
    /// GitHub: through which installation.
    pub installation_id: Option<i64>,
    /// Plain git.
    pub url: Option<String>,
    /// Directory of the checkout that is built.
    pub root_directory: String,
    /// Relative to the root directory.
    pub dockerfile: String,
    /// Why the source cannot be used at the moment.
    pub source_reason_code: Option<String>,
    /// The same for people.
    pub source_reason_text: Option<String>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    pub updated_at: OffsetDateTime,
}

/// A project to be made.
#[derive(Debug, Clone)]
pub struct NewProject<'a> {
    /// Its id.
    pub id: ProjectId,
    /// Whose it is.
    pub organisation_id: OrganisationId,
    /// One that is taken violates `projects_slug`.
    pub slug: &'a str,
    /// For people.
    pub name: &'a str,
    /// Where its code comes from.
    pub source_kind: SourceKind,
    /// GitHub: `owner/name`.
    pub repository: Option<&'a str>,
    /// Plain git.
    pub url: Option<&'a str>,
    /// Directory of the checkout that is built.
    pub root_directory: &'a str,
    /// Relative to the root directory.
    pub dockerfile: &'a str,
}

/// What of a project may change; absent: stays.
#[derive(Debug, Clone, Default)]
pub struct ProjectChange<'a> {
    /// For people.
    pub name: Option<&'a str>,
    /// The new slug; addresses do not change with it.
    pub slug: Option<&'a str>,
    /// GitHub: `owner/name`.
    pub repository: Option<&'a str>,
    /// Plain git.
    pub url: Option<&'a str>,
    /// The kind of the new source; must come with its repository or URL.
    pub source_kind: Option<SourceKind>,
    /// Directory of the checkout that is built.
    pub root_directory: Option<&'a str>,
    /// Relative to the root directory.
    pub dockerfile: Option<&'a str>,
}

/// How a caller names a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectName<'a> {
    /// By id.
    Id(ProjectId),
    /// By slug.
    Slug(&'a str),
}

impl<'a> ProjectName<'a> {
    /// Slugs never look like ids, so the text tells which it is.
    #[must_use]
    pub fn from_text(text: &'a str) -> Self {
        text.parse().map_or(Self::Slug(text), Self::Id)
    }

    fn parts(&self) -> (Option<ProjectId>, Option<&'a str>) {
        match self {
            Self::Id(id) => (Some(*id), None),
            Self::Slug(slug) => (None, Some(slug)),
        }
    }
}

/// Makes a project.
///
/// # Errors
/// Those of every statement.
pub async fn insert(connection: &mut PgConnection, new: &NewProject<'_>) -> Result<Project> {
    sqlx::query!(
        "insert into projects (id, organisation_id, slug, name, source_kind, repository, url,
            root_directory, dockerfile)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        new.id as ProjectId,
        new.organisation_id as OrganisationId,
        new.slug,
        new.name,
        new.source_kind.as_str(),
        new.repository,
        new.url,
        new.root_directory,
        new.dockerfile
    )
    .execute(&mut *connection)
    .await?;
    get(connection, new.organisation_id, &ProjectName::Id(new.id))
        .await?
        .ok_or(Error::NotFound("project"))
}

/// One project of the organisation.
///
/// # Errors
/// Those of every statement.
pub async fn get(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    name: &ProjectName<'_>,
) -> Result<Option<Project>> {
    let (id, slug) = name.parts();
    let row = sqlx::query_as!(
        Project,
        r#"select id as "id: ProjectId", organisation_id as "organisation_id: OrganisationId",
            slug, name, source_kind as "source_kind: SourceKind", repository, repository_id,
            installation_id, url, root_directory, dockerfile, source_reason_code,
            source_reason_text, created_at, updated_at
        from projects
        where organisation_id = $1 and deleted_at is null and (id = $2 or slug = $3)"#,
        organisation as OrganisationId,
        id as Option<ProjectId>,
        slug
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}

/// The organisation's projects, newest first.
///
/// # Errors
/// Those of every statement.
pub async fn list(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    before: Option<ProjectId>,
    limit: i64,
) -> Result<Vec<Project>> {
    let rows = sqlx::query_as!(
        Project,
        r#"select id as "id: ProjectId", organisation_id as "organisation_id: OrganisationId",
            slug, name, source_kind as "source_kind: SourceKind", repository, repository_id,
            installation_id, url, root_directory, dockerfile, source_reason_code,
            source_reason_text, created_at, updated_at
        from projects
        where organisation_id = $1 and deleted_at is null and ($2::uuid is null or id < $2)
        order by id desc
        limit $3"#,
        organisation as OrganisationId,
        before as Option<ProjectId>,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// How many projects an organisation has.
///
/// # Errors
/// Those of every statement.
pub async fn count(connection: &mut PgConnection, organisation: OrganisationId) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from projects
        where organisation_id = $1 and deleted_at is null"#,
        organisation as OrganisationId
    )
    .fetch_one(connection)
    .await?;
    Ok(count)
}

/// Changes a project. A new source forgets what was resolved of the old one.
///
/// # Errors
/// Those of every statement; [`Error::NotFound`].
pub async fn update(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: ProjectId,
    change: &ProjectChange<'_>,
) -> Result<Project> {
    sqlx::query!(
        r#"update projects
        set name = coalesce($3, name),
            slug = coalesce($4, slug),
            root_directory = coalesce($5, root_directory),
            dockerfile = coalesce($6, dockerfile),
            source_kind = coalesce($7, source_kind),
            repository = case when $7::text is null then repository else $8 end,
            url = case when $7::text is null then url else $9 end,
            repository_id = case when $7::text is null then repository_id end,
            installation_id = case when $7::text is null then installation_id end,
            source_reason_code = case when $7::text is null then source_reason_code end,
            source_reason_text = case when $7::text is null then source_reason_text end,
            updated_at = now()
        where organisation_id = $1 and id = $2 and deleted_at is null"#,
        organisation as OrganisationId,
        id as ProjectId,
        change.name,
        change.slug,
        change.root_directory,
        change.dockerfile,
        change.source_kind.map(SourceKind::as_str),
        change.repository,
        change.url
    )
    .execute(&mut *connection)
    .await?;
    get(connection, organisation, &ProjectName::Id(id)).await?.ok_or(Error::NotFound("project"))
}

/// Marks a project and its environments as deleted; the operator takes down what runs. Its
/// addresses are free for others once the operator has removed its domains.
///
/// # Errors
/// Those of every statement; [`Error::NotFound`].
pub async fn delete(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: ProjectId,
) -> Result<()> {
    let done = sqlx::query!(
        "update projects set deleted_at = now(), updated_at = now()
        where organisation_id = $1 and id = $2 and deleted_at is null",
        organisation as OrganisationId,
        id as ProjectId
    )
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Err(Error::NotFound("project"));
    }
    sqlx::query!(
        "update environments set deleted_at = now(), updated_at = now()
        where organisation_id = $1 and project_id = $2 and deleted_at is null",
        organisation as OrganisationId,
        id as ProjectId
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A project's data key, wrapped.
#[derive(Debug, Clone)]
pub struct ProjectKey {
    /// Grows with each rotation.
    pub version: i32,
    /// Which master key wrapped it.
    pub master_key: String,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
}

/// The project's data keys, newest first.
///
/// # Errors
/// Those of every statement.
pub async fn keys(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    project: ProjectId,
) -> Result<Vec<ProjectKey>> {
    let rows = sqlx::query_as!(
        ProjectKey,
        "select k.version, k.master_key, k.wrapped
        from project_keys k
        join projects p on p.id = k.project_id
        where p.organisation_id = $1 and k.project_id = $2
        order by k.version desc
        limit 100",
        organisation as OrganisationId,
        project as ProjectId
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Stores a data key. A version that is there violates `project_keys_pkey`.
///
/// # Errors
/// Those of every statement.
pub async fn insert_key(
    connection: &mut PgConnection,
    project: ProjectId,
    key: &ProjectKey,
) -> Result<()> {
    sqlx::query!(
        "insert into project_keys (project_id, version, master_key, wrapped)
        values ($1, $2, $3, $4)",
        project as ProjectId,
        key.version,
        key.master_key,
        key.wrapped
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How many projects' keys another master key than this one opens.
///
/// # Errors
/// Those of every statement.
pub async fn keys_of_another_master(connection: &mut PgConnection, id: &str) -> Result<i64> {
    let row = sqlx::query!(
        r#"select count(distinct project_id) as "count!" from project_keys where master_key <> $1"#,
        id
    )
    .fetch_one(connection)
    .await?;
    Ok(row.count)
}
