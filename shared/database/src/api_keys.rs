//! API keys: what is stored of them (never the key) and whether they still hold.

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::id::{ApiKeyId, OrganisationId};
use zeitwork_model::scope::Scope;

use crate::Result;

/// A key as it is shown.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// For people.
    pub name: String,
    /// The visible part.
    pub prefix: String,
    /// What it may do.
    pub scope: Scope,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it ends by itself.
    pub expires_at: Option<OffsetDateTime>,
    /// When somebody ended it.
    pub revoked_at: Option<OffsetDateTime>,
    /// About when it was used last (to the minute).
    pub last_used_at: Option<OffsetDateTime>,
}

/// A key that holds, as it is checked.
#[derive(Debug, Clone)]
pub struct ActiveKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub organisation_id: OrganisationId,
    /// SHA-256 of the key.
    pub hash: Vec<u8>,
    /// What it may do.
    pub scope: Scope,
    /// Whether its last use should be noted again.
    pub last_use_is_old: bool,
}

/// A key to be stored.
#[derive(Debug, Clone)]
pub struct NewApiKey<'a> {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub organisation_id: OrganisationId,
    /// For people.
    pub name: &'a str,
    /// The visible part; one that is taken violates `api_keys_prefix_key`.
    pub prefix: &'a str,
    /// SHA-256 of the key.
    pub hash: &'a [u8],
    /// What it may do.
    pub scope: Scope,
    /// When it ends by itself.
    pub expires_at: Option<OffsetDateTime>,
}

/// The key with this prefix, if it is neither revoked nor expired and its organisation exists.
///
/// # Errors
/// Those of every statement.
pub async fn find_active(connection: &mut PgConnection, prefix: &str) -> Result<Option<ActiveKey>> {
    let row = sqlx::query_as!(
        ActiveKey,
        r#"select k.id as "id: ApiKeyId", k.organisation_id as "organisation_id: OrganisationId",
            k.hash, k.scope as "scope: Scope",
            (k.last_used_at is null or k.last_used_at < now() - interval '1 minute')
                as "last_use_is_old!"
        from api_keys k
        join organisations o on o.id = k.organisation_id and o.deleted_at is null
        where k.prefix = $1
            and k.revoked_at is null
            and (k.expires_at is null or k.expires_at > now())"#,
        prefix
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}

/// Whether a key still holds; streams ask again and again.
///
/// # Errors
/// Those of every statement.
pub async fn is_active(connection: &mut PgConnection, id: ApiKeyId) -> Result<bool> {
    let row = sqlx::query!(
        r#"select exists (
            select 1 from api_keys k
            join organisations o on o.id = k.organisation_id and o.deleted_at is null
            where k.id = $1
                and k.revoked_at is null
                and (k.expires_at is null or k.expires_at > now())
        ) as "active!""#,
        id as ApiKeyId
    )
    .fetch_one(connection)
    .await?;
    Ok(row.active)
}

/// Notes that the key was used now.
///
/// # Errors
/// Those of every statement.
pub async fn touch(connection: &mut PgConnection, id: ApiKeyId) -> Result<()> {
    sqlx::query!("update api_keys set last_used_at = now() where id = $1", id as ApiKeyId)
        .execute(connection)
        .await?;
    Ok(())
}

/// Stores a key.
///
/// # Errors
/// Those of every statement.
pub async fn insert(connection: &mut PgConnection, key: &NewApiKey<'_>) -> Result<ApiKey> {
    let row = sqlx::query_as!(
        ApiKey,
        r#"insert into api_keys (id, organisation_id, name, prefix, hash, scope, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7)
        returning id as "id: ApiKeyId", name, prefix, scope as "scope: Scope", created_at,
            expires_at, revoked_at, last_used_at"#,
        key.id as ApiKeyId,
        key.organisation_id as OrganisationId,
        key.name,
        key.prefix,
        key.hash,
        key.scope.as_str(),
        key.expires_at
    )
    .fetch_one(connection)
    .await?;
    Ok(row)
}

/// The organisation's keys, newest first, revoked ones included.
///
/// # Errors
/// Those of every statement.
pub async fn list(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    before: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ApiKey>> {
    let rows = sqlx::query_as!(
        ApiKey,
        r#"select id as "id: ApiKeyId", name, prefix, scope as "scope: Scope", created_at,
            expires_at, revoked_at, last_used_at
        from api_keys
        where organisation_id = $1 and ($2::uuid is null or id < $2)
        order by id desc
        limit $3"#,
        organisation as OrganisationId,
        before as Option<ApiKeyId>,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// How many keys of the organisation hold.
///
/// # Errors
/// Those of every statement.
pub async fn count_active(
    connection: &mut PgConnection,
    organisation: OrganisationId,
) -> Result<i64> {
    let row = sqlx::query!(
        r#"select count(*) as "keys!" from api_keys
        where organisation_id = $1 and revoked_at is null
            and (expires_at is null or expires_at > now())"#,
        organisation as OrganisationId
    )
    .fetch_one(connection)
    .await?;
    Ok(row.keys)
}

/// Ends a key; one that has ended stays as it is.
///
/// # Errors
/// Those of every statement.
pub async fn revoke(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: ApiKeyId,
) -> Result<Option<ApiKey>> {
    let row = sqlx::query_as!(
        ApiKey,
        r#"update api_keys set revoked_at = coalesce(revoked_at, now())
        where organisation_id = $1 and id = $2
        returning id as "id: ApiKeyId", name, prefix, scope as "scope: Scope", created_at,
            expires_at, revoked_at, last_used_at"#,
        organisation as OrganisationId,
        id as ApiKeyId
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}
