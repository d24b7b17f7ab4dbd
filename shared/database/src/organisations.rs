//! Organisations: the owners of everything.

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::id::OrganisationId;

use crate::Result;

/// An organisation.
#[derive(Debug, Clone)]
pub struct Organisation {
    /// Its id.
    pub id: OrganisationId,
    /// Unique over the installation.
    pub slug: String,
    /// For people.
    pub name: String,
    /// Since when it exists.
    pub created_at: OffsetDateTime,
}

/// Makes an organisation. A slug that is taken violates `organisations_slug`.
///
/// # Errors
/// Those of every statement.
pub async fn insert(
    connection: &mut PgConnection,
    id: OrganisationId,
    slug: &str,
    name: &str,
) -> Result<Organisation> {
    let row = sqlx::query_as!(
        Organisation,
        r#"insert into organisations (id, slug, name) values ($1, $2, $3)
        returning id as "id: OrganisationId", slug, name, created_at"#,
        id as OrganisationId,
        slug,
        name
    )
    .fetch_one(connection)
    .await?;
    Ok(row)
}

/// One organisation.
///
/// # Errors
/// Those of every statement.
pub async fn get(
    connection: &mut PgConnection,
    id: OrganisationId,
) -> Result<Option<Organisation>> {
    let row = sqlx::query_as!(
        Organisation,
        r#"select id as "id: OrganisationId", slug, name, created_at
        from organisations
        where id = $1 and deleted_at is null"#,
        id as OrganisationId
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}

/// One organisation by its slug.
///
/// # Errors
/// Those of every statement.
pub async fn find(connection: &mut PgConnection, slug: &str) -> Result<Option<Organisation>> {
    let row = sqlx::query_as!(
        Organisation,
        r#"select id as "id: OrganisationId", slug, name, created_at
        from organisations
        where slug = $1 and deleted_at is null"#,
        slug
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}

/// All organisations, newest first, at most `limit` after the cursor.
///
/// # Errors
/// Those of every statement.
pub async fn list(
    connection: &mut PgConnection,
    before: Option<OrganisationId>,
    limit: i64,
) -> Result<Vec<Organisation>> {
    let rows = sqlx::query_as!(
        Organisation,
        r#"select id as "id: OrganisationId", slug, name, created_at
        from organisations
        where deleted_at is null and ($1::uuid is null or id < $1)
        order by id desc
        limit $2"#,
        before as Option<OrganisationId>,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}
