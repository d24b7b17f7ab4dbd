//! Installations of the GitHub App, each given to one organisation here or to none yet. Who may
//! use one decides which repositories he can read, so giving it is a step of its own.

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::id::OrganisationId;

use crate::Result;

/// An installation that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// GitHub's number.
    pub installation_id: i64,
    /// Whose projects may use it; none: nobody's.
    pub organisation_id: Option<OrganisationId>,
    /// The account's login.
    pub account: String,
    /// Since when GitHub has it suspended.
    pub suspended_at: Option<OffsetDateTime>,
    /// Since when it is known.
    pub created_at: OffsetDateTime,
}

/// One installation, locked against being given to somebody else meanwhile.
///
/// # Errors
/// Those of every statement.
pub async fn lock(
    connection: &mut PgConnection,
    installation: i64,
) -> Result<Option<Installation>> {
    let row = sqlx::query_as!(
        Installation,
        r#"select installation_id, organisation_id as "organisation_id: OrganisationId", account,
            suspended_at, created_at
        from github_installations
        where installation_id = $1
        for update"#,
        installation
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}

/// The installations of an organisation, or all (none), newest first.
///
/// # Errors
/// Those of every statement.
pub async fn list(
    connection: &mut PgConnection,
    organisation: Option<OrganisationId>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Installation>> {
    let rows = sqlx::query_as!(
        Installation,
        r#"select installation_id, organisation_id as "organisation_id: OrganisationId", account,
            suspended_at, created_at
        from github_installations
        where ($1::uuid is null or organisation_id = $1)
            and ($2::bigint is null or installation_id < $2)
        order by installation_id desc
        limit $3"#,
        organisation as Option<OrganisationId>,
        before,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Who may use an installation, if somebody may.
///
/// # Errors
/// Those of every statement.
pub async fn holder(
    connection: &mut PgConnection,
    installation: i64,
) -> Result<Option<OrganisationId>> {
    let found = sqlx::query_scalar!(
        r#"select organisation_id as "organisation_id: OrganisationId"
        from github_installations
        where installation_id = $1"#,
        installation
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.flatten())
}

/// Notes that there is an installation and how its account is called now; whose it is stays.
///
/// # Errors
/// Those of every statement.
pub async fn note(connection: &mut PgConnection, installation: i64, account: &str) -> Result<()> {
    sqlx::query!(
        "insert into github_installations as i (installation_id, account)
        values ($1, $2)
        on conflict (installation_id) do update set account = excluded.account
        where i.account <> excluded.account",
        installation,
        account
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives an installation to an organisation unless somebody has it.
///
/// # Errors
/// Those of every statement.
pub async fn claim(
    connection: &mut PgConnection,
    installation: i64,
    organisation: OrganisationId,
) -> Result<()> {
    sqlx::query!(
        "update github_installations set organisation_id = $2
        where installation_id = $1 and organisation_id is null",
        installation,
        organisation as OrganisationId
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives an installation to an organisation, or to nobody (none). Projects that used it so far
/// lose it and are looked at anew, as are those that wait for it.
///
/// # Errors
/// Those of every statement.
pub async fn give(
    connection: &mut PgConnection,
    installation: i64,
    organisation: Option<OrganisationId>,
) -> Result<()> {
    sqlx::query!(
        "update github_installations set organisation_id = $2 where installation_id = $1",
        installation,
        organisation as Option<OrganisationId>
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update projects
        set installation_id = case when installation_id <> $1 then installation_id end,
            updated_at = now()
        where source_kind = 'github' and deleted_at is null
            and (installation_id = $1 and organisation_id is distinct from $2
                or organisation_id = $2 and source_reason_code = 'installation_not_claimed')",
        installation,
        organisation as Option<OrganisationId>
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
