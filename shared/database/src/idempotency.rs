//! What was answered before under an `Idempotency-Key`.

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::id::ApiKeyId;

use crate::{Error, Result};

/// What a key stands for when a request comes.
#[derive(Debug, Clone)]
pub enum Claim {
    /// Nobody has used it in the last 24 hours: it is this request's now, since that moment,
    /// which fences off whoever claimed it before.
    Fresh(OffsetDateTime),
    /// It was used for something else.
    Different,
    /// The first request with it is still at work.
    AtWork,
    /// This was answered.
    Answered(Answer),
}

/// A stored answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: i32,
    /// `{"location": …}`.
    pub headers: serde_json::Value,
    /// The body.
    pub body: Vec<u8>,
}

/// Claims a key for a request. A claim without an answer after a minute is one of a process
/// that died, and free again.
///
/// # Errors
/// Those of every statement.
pub async fn claim(
    connection: &mut PgConnection,
    api_key: ApiKeyId,
    key: &str,
    route: &str,
    request_hash: &[u8],
) -> Result<Claim> {
    let fresh = sqlx::query!(
        "insert into idempotency_keys as i (api_key_id, key, route, request_hash)
        values ($1, $2, $3, $4)
        on conflict (api_key_id, key) do update
        set route = excluded.route, request_hash = excluded.request_hash, status = null,
            headers = null, body = null, created_at = now()
        where i.created_at < now() - interval '24 hours'
            or (i.status is null and i.created_at < now() - interval '1 minute')
        returning created_at",
        api_key as ApiKeyId,
        key,
        route,
        request_hash
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(fresh) = fresh {
        return Ok(Claim::Fresh(fresh.created_at));
    }
    let row = sqlx::query!(
        "select route, request_hash, status, headers, body
        from idempotency_keys
        where api_key_id = $1 and key = $2",
        api_key as ApiKeyId,
        key
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(Claim::AtWork) };
    if row.route != route || row.request_hash != request_hash {
        return Ok(Claim::Different);
    }
    Ok(match row.status {
        None => Claim::AtWork,
        Some(status) => Claim::Answered(Answer {
            status,
            headers: row.headers.unwrap_or_default(),
            body: row.body.unwrap_or_default(),
        }),
    })
}

/// Stores the answer of a claim. In the transaction of the work, the work and its answer are
/// there together or not at all.
///
/// # Errors
/// [`Error::Stale`] where somebody else has claimed the key meanwhile, or it was answered.
pub async fn answer(
    connection: &mut PgConnection,
    api_key: ApiKeyId,
    key: &str,
    claimed_at: OffsetDateTime,
    answer: &Answer,
) -> Result<()> {
    let done = sqlx::query!(
        "update idempotency_keys set status = $4, headers = $5, body = $6
        where api_key_id = $1 and key = $2 and created_at = $3 and status is null",
        api_key as ApiKeyId,
        key,
        claimed_at,
        answer.status,
        answer.headers,
        answer.body
    )
    .execute(connection)
    .await?;
    if done.rows_affected() == 0 { Err(Error::Stale("request with this key")) } else { Ok(()) }
}

/// Gives a key back: the request had no effect.
///
/// # Errors
/// Those of every statement.
pub async fn release(
    connection: &mut PgConnection,
    api_key: ApiKeyId,
    key: &str,
    claimed_at: OffsetDateTime,
) -> Result<()> {
    sqlx::query!(
        "delete from idempotency_keys
        where api_key_id = $1 and key = $2 and created_at = $3 and status is null",
        api_key as ApiKeyId,
        key,
        claimed_at
    )
    .execute(connection)
    .await?;
    Ok(())
}
