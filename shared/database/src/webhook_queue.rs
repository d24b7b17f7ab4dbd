//! Claiming and ending stored deliveries. The number of the attempt is the fence: what a claim of
//! before still wants to write is [`Error::Stale`].

use std::time::Duration;

use sqlx::PgConnection;
use zeitwork_model::id::DeliveryId;
use zeitwork_model::reason::Reason;
use zeitwork_model::webhook::DeliveryStatus;

use crate::{Error, Result};

/// A claim that is neither ended nor renewed by then was lost with its holder.
const LEASE_SECONDS: f64 = 6.0;
/// Claims are renewed this often.
pub const RENEW_EVERY: Duration = Duration::from_secs(2);

/// A delivery that was claimed.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Which.
    pub id: DeliveryId,
    /// This attempt's number, from 1.
    pub attempt: i32,
    /// `push`, `installation`, …
    pub event: String,
    /// GitHub's number of the repository: deliveries of one are worked on in their order.
    pub repository_id: Option<i64>,
    /// Of the request that brought it.
    pub request_id: Option<String>,
}

/// Claims what is due, oldest first.
///
/// # Errors
/// Those of every statement.
pub async fn claim(connection: &mut PgConnection, limit: i64) -> Result<Vec<Claimed>> {
    let mut rows = sqlx::query_as!(
        Claimed,
        r#"update webhook_deliveries
        set attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => $2)
        where id in (select id from webhook_deliveries
                     where status = 'pending' and next_attempt_at <= now()
                     order by id
                     limit $1
                     for update skip locked)
        returning id as "id: DeliveryId", attempts as attempt, event, repository_id,
            request_id"#,
        limit,
        LEASE_SECONDS
    )
    .fetch_all(connection)
    .await?;
    rows.sort_by_key(|row| row.id);
    Ok(rows)
}

/// Renews claims that are still worked on; those that were lost stay lost.
///
/// # Errors
/// Those of every statement.
pub async fn renew(connection: &mut PgConnection, claims: &[(DeliveryId, i32)]) -> Result<()> {
    let (ids, attempts): (Vec<uuid::Uuid>, Vec<i32>) =
        claims.iter().map(|(id, attempt)| (id.0, *attempt)).unzip();
    sqlx::query!(
        "update webhook_deliveries d
        set next_attempt_at = now() + make_interval(secs => $3)
        from unnest($1::uuid[], $2::int[]) claim (id, attempt)
        where d.id = claim.id and d.attempts = claim.attempt and d.status = 'pending'",
        &ids,
        &attempts,
        LEASE_SECONDS
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// When the next delivery is due, if one waits.
///
/// # Errors
/// Those of every statement.
pub async fn next_due(connection: &mut PgConnection) -> Result<Option<Duration>> {
    let seconds = sqlx::query_scalar!(
        "select extract(epoch from min(next_attempt_at) - clock_timestamp())::float8
        from webhook_deliveries
        where status = 'pending'"
    )
    .fetch_one(connection)
    .await?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}

/// The payload, as it was stored.
///
/// # Errors
/// Those of every statement; [`Error::NotFound`].
pub async fn payload(connection: &mut PgConnection, id: DeliveryId) -> Result<Vec<u8>> {
    sqlx::query_scalar!("select payload from webhook_deliveries where id = $1", id as DeliveryId)
        .fetch_optional(connection)
        .await?
        .ok_or(Error::NotFound("webhook delivery"))
}

/// Ends a claim in a final state.
///
/// # Errors
/// [`Error::Stale`] where the claim was lost.
pub async fn finish(
    connection: &mut PgConnection,
    claimed: &Claimed,
    status: DeliveryStatus,
    reason: Option<&Reason>,
) -> Result<()> {
    let done = sqlx::query!(
        "update webhook_deliveries
        set status = $3, reason_code = $4, reason_text = $5, finished_at = now()
        where id = $1 and attempts = $2 and status = 'pending'",
        claimed.id as DeliveryId,
        claimed.attempt,
        status.as_str(),
        reason.map(|reason| reason.code.as_str()),
        reason.map(|reason| reason.text.as_str())
    )
    .execute(connection)
    .await?;
    held(done.rows_affected())
}

/// Ends a claim for now; the delivery is due again after `delay`.
///
/// # Errors
/// [`Error::Stale`] where the claim was lost.
pub async fn postpone(
    connection: &mut PgConnection,
    claimed: &Claimed,
    delay: Duration,
    reason: &Reason,
) -> Result<()> {
    let done = sqlx::query!(
        "update webhook_deliveries
        set next_attempt_at = now() + make_interval(secs => $3), reason_code = $4,
            reason_text = $5
        where id = $1 and attempts = $2 and status = 'pending'",
        claimed.id as DeliveryId,
        claimed.attempt,
        delay.as_secs_f64(),
        reason.code,
        reason.text
    )
    .execute(connection)
    .await?;
    held(done.rows_affected())
}

fn held(rows: u64) -> Result<()> {
    if rows == 0 { Err(Error::Stale("webhook delivery")) } else { Ok(()) }
}
