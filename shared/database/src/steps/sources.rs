//! Steps of projects' sources: what GitHub said about them.

use sqlx::PgConnection;
use zeitwork_model::id::ProjectId;
use zeitwork_model::reason::Reason;

use super::changed;
use crate::Result;

/// Writes the numbers that a repository's name was resolved to; its reason goes.
///
/// # Errors
/// [`crate::Error::Stale`] where the project has another repository now, or its organisation
/// does not have the installation any more.
pub async fn connect(
    connection: &mut PgConnection,
    project: ProjectId,
    repository: &str,
    installation: i64,
    repository_id: i64,
) -> Result<()> {
    let done = sqlx::query!(
        "update projects p
        set installation_id = $3, repository_id = $4, source_reason_code = null,
            source_reason_text = null
        from (select organisation_id from github_installations
              where installation_id = $3
              for share) held
        where p.id = $1 and p.repository = $2 and p.source_kind = 'github'
            and p.deleted_at is null and p.organisation_id = held.organisation_id",
        project as ProjectId,
        repository,
        installation,
        repository_id
    )
    .execute(connection)
    .await?;
    changed("project", done.rows_affected())
}

/// Writes why a repository cannot be used.
///
/// # Errors
/// [`crate::Error::Stale`] where the project has another repository now.
pub async fn set_reason(
    connection: &mut PgConnection,
    project: ProjectId,
    repository: &str,
    reason: &Reason,
) -> Result<()> {
    let done = sqlx::query!(
        "update projects
        set source_reason_code = $3, source_reason_text = $4
        where id = $1 and repository = $2 and source_kind = 'github' and deleted_at is null",
        project as ProjectId,
        repository,
        reason.code,
        reason.text
    )
    .execute(connection)
    .await?;
    changed("project", done.rows_affected())
}

/// Which projects a step is about.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// All whose repository is reached through this installation.
    Installation(i64),
    /// Those with these repositories.
    Repositories(&'a [i64]),
}

/// Writes why the repositories cannot be used (none: they can), and moves the time of change so
/// that they are looked at soon.
///
/// # Errors
/// Those of every statement.
pub async fn set_reasons(
    connection: &mut PgConnection,
    of: Of<'_>,
    reason: Option<&Reason>,
) -> Result<u64> {
    let (installation, repositories) = match of {
        Of::Installation(id) => (Some(id), &[][..]),
        Of::Repositories(ids) => (None, ids),
    };
    let done = sqlx::query!(
        "update projects
        set source_reason_code = $3, source_reason_text = $4, updated_at = now()
        where source_kind = 'github' and deleted_at is null
            and (installation_id = $1 or repository_id = any($2))",
        installation,
        repositories,
        reason.map(|reason| reason.code.as_str()),
        reason.map(|reason| reason.text.as_str())
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Forgets through which installation repositories were reached: it is found anew.
///
/// # Errors
/// Those of every statement.
pub async fn forget_installation(connection: &mut PgConnection, installation: i64) -> Result<()> {
    sqlx::query!(
        "update projects set installation_id = null, updated_at = now()
        where installation_id = $1 and source_kind = 'github' and deleted_at is null",
        installation
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Has projects looked at soon: something about their repositories has changed.
///
/// # Errors
/// Those of every statement.
pub async fn touch(connection: &mut PgConnection, names: &[String]) -> Result<()> {
    let names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    sqlx::query!(
        "update projects set updated_at = now()
        where lower(repository) = any($1) and source_kind = 'github' and deleted_at is null",
        &names
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the new name of a repository; its number stays.
///
/// # Errors
/// Those of every statement.
pub async fn rename(
    connection: &mut PgConnection,
    repository_id: i64,
    repository: &str,
) -> Result<u64> {
    let done = sqlx::query!(
        "update projects set repository = $2, updated_at = now()
        where repository_id = $1 and source_kind = 'github' and deleted_at is null",
        repository_id,
        repository
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
