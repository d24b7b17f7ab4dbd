//! The platform's owner: the first organisation and its key.

use sqlx::PgConnection;
use uuid::Uuid;
use zeitwork_model::id::{ApiKeyId, OrganisationId};

use crate::Result;

/// Slug and name of the first organisation.
const SLUG: &str = "owner";
/// Name of the owner's keys in lists.
const KEY_NAME: &str = "owner";

/// What `ensure` found or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Ensured {
    /// The owner's one key; it holds.
    Holds,
    /// It was the owner's and was revoked: a start does not bring back what may have leaked.
    /// Nothing was changed, for else nobody would have a key that works.
    Revoked,
    /// It is another's. Nothing was changed.
    Taken,
}

/// Makes the owner's organisation and the key with this prefix and hash, unless they exist. Other
/// keys of that name are revoked: the owner has one.
///
/// # Errors
/// Those of every statement.
pub async fn ensure(connection: &mut PgConnection, prefix: &str, hash: &[u8]) -> Result<Ensured> {
    let organisation = organisation(connection).await?;
    sqlx::query!(
        "insert into api_keys (id, organisation_id, name, prefix, hash, scope)
         values ($1, $2, $3, $4, $5, 'platform')
         on conflict (prefix) do nothing",
        ApiKeyId::new().0,
        organisation,
        KEY_NAME,
        prefix,
        hash,
    )
    .execute(&mut *connection)
    .await?;
    let found = find(connection, organisation, prefix, hash).await?;
    if found != Ensured::Holds {
        return Ok(found);
    }
    sqlx::query!(
        "update api_keys set revoked_at = now()
         where organisation_id = $1 and name = $2 and scope = 'platform' and prefix <> $3
           and revoked_at is null",
        organisation,
        KEY_NAME,
        prefix,
    )
    .execute(connection)
    .await?;
    Ok(Ensured::Holds)
}

async fn find(
    connection: &mut PgConnection,
    organisation: Uuid,
    prefix: &str,
    hash: &[u8],
) -> Result<Ensured> {
    let found = sqlx::query!(
        r#"select organisation_id = $2 and scope = 'platform' and hash = $3 as "is_owners!",
            revoked_at is null and (expires_at is null or expires_at > now()) as "holds!"
        from api_keys where prefix = $1"#,
        prefix,
        organisation,
        hash,
    )
    .fetch_one(connection)
    .await?;
    Ok(match (found.is_owners, found.holds) {
        (true, true) => Ensured::Holds,
        (true, false) => Ensured::Revoked,
        (false, _) => Ensured::Taken,
    })
}

async fn organisation(connection: &mut PgConnection) -> Result<Uuid> {
    sqlx::query!(
        "insert into organisations (id, slug, name) values ($1, $2, 'Owner')
         on conflict (slug) where deleted_at is null do nothing",
        OrganisationId::new().0,
        SLUG,
    )
    .execute(&mut *connection)
    .await?;
    let row =
        sqlx::query!("select id from organisations where slug = $1 and deleted_at is null", SLUG)
            .fetch_one(connection)
            .await?;
    Ok(row.id)
}
