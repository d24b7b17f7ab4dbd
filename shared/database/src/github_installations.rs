//! Installations of the GitHub App, each bound to the organisation that claimed it.

use sqlx::PgConnection;
use zeitwork_model::id::OrganisationId;

use crate::Result;

/// Whose an installation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Who claimed it.
    pub organisation_id: OrganisationId,
    /// Whether GitHub says that it is suspended.
    pub is_suspended: bool,
}

/// Who claimed an installation, if somebody did.
///
/// # Errors
/// Those of every statement.
pub async fn get(connection: &mut PgConnection, installation: i64) -> Result<Option<Claim>> {
    let row = sqlx::query_as!(
        Claim,
        r#"select organisation_id as "organisation_id: OrganisationId",
            suspended_at is not null as "is_suspended!"
        from github_installations
        where installation_id = $1"#,
        installation
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}

/// Claims an installation unless somebody has.
///
/// # Errors
/// Those of every statement.
pub async fn claim(
    connection: &mut PgConnection,
    installation: i64,
    organisation: OrganisationId,
    account: &str,
) -> Result<()> {
    sqlx::query!(
        "insert into github_installations (installation_id, organisation_id, account)
        values ($1, $2, $3)
        on conflict (installation_id) do nothing",
        installation,
        organisation as OrganisationId,
        account
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes whether GitHub has suspended it.
///
/// # Errors
/// Those of every statement.
pub async fn set_suspended(
    connection: &mut PgConnection,
    installation: i64,
    suspended: bool,
) -> Result<()> {
    sqlx::query!(
        "update github_installations
        set suspended_at = case when $2 then coalesce(suspended_at, now()) end
        where installation_id = $1 and (suspended_at is not null) <> $2",
        installation,
        suspended
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets an installation that is no more: a new one has another number.
///
/// # Errors
/// Those of every statement.
pub async fn delete(connection: &mut PgConnection, installation: i64) -> Result<()> {
    sqlx::query!("delete from github_installations where installation_id = $1", installation)
        .execute(connection)
        .await?;
    Ok(())
}
