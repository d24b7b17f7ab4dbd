//! What is old and not needed any more.

use sqlx::PgConnection;

use crate::Result;

/// Rows that one pass removes at most of each kind; the next pass goes on.
const BATCH: i64 = 1_000;

/// Gives up image rows that no deployment can need: not of one that is open, and not of the last
/// `kept` that were live in any environment; of the last two alone (what is live, and what a
/// rollback goes to) on a node whose disk is nearly full. Agents then remove the images themselves.
///
/// Who takes an image up says so in its row (`held_at`), under its lock: this waits for it, and
/// then leaves the row alone.
///
/// # Errors
/// Those of every statement.
pub async fn images(connection: &mut PgConnection, kept: i64) -> Result<u64> {
    let done = sqlx::query!(
        "with ranked as materialized (
            select d.image_id, row_number() over (
                partition by d.environment_id order by d.live_at desc) as place
            from deployments d
            join environments e on e.id = d.environment_id and e.deleted_at is null
            where d.status in ('live', 'retired') and d.live_at is not null
                and d.image_id is not null
        )
        update images i set deleted_at = now()
        where i.deleted_at is null and i.held_at < now() - interval '10 minutes'
            and not exists (select from deployments d
                            where d.image_id = i.id
                                and d.status in ('queued', 'building', 'starting', 'live'))
            and not exists (select from instances n
                            join deployments d on d.id = n.deployment_id
                            where d.image_id = i.id and n.status not in ('stopped', 'failed'))
            and not exists (
                select from ranked r
                where r.image_id = i.id and r.place <= $1
                    and (r.place <= 2 or not exists (
                        select from image_locations l
                        join nodes n on n.id = l.node_id
                        where l.image_id = i.id and n.problems @> '[{\"code\": \"disk_low\"}]'))
            )",
        kept
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "delete from image_locations l using images i
        where i.id = l.image_id and i.deleted_at < now() - interval '1 minute'"
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Frees addresses that no edge can route to any more: every known edge has applied a table
/// without them, or a day has passed.
///
/// # Errors
/// Those of every statement.
pub async fn endpoints(connection: &mut PgConnection) -> Result<u64> {
    let done = sqlx::query!(
        "delete from endpoints p
        using instances i, installation s
        where i.id = p.instance_id and i.status in ('stopped', 'failed')
            and p.released_at is not null
            and not exists (select from routes r
                            where r.environment_id = i.environment_id
                                and r.route->'endpoints' @> jsonb_build_array(
                                    jsonb_build_object('address',
                                        host(p.address) || ':' || p.port)))
            and (p.released_at < now() - interval '1 day'
                or not exists (
                    select from edges e
                    where e.epoch <> s.epoch or e.applied_generation < coalesce(
                        (select max(f.generation) from route_feed f
                         where f.environment_id = i.environment_id), 0)))"
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Trims the route feed: what is older than an hour, applied by every edge whose lease lives,
/// and followed by a newer change of the same host.
///
/// # Errors
/// Those of every statement.
pub async fn route_feed(connection: &mut PgConnection) -> Result<u64> {
    let done = sqlx::query!(
        "delete from route_feed f
        where f.generation in (
            select o.generation from route_feed o
            where o.written_at < now() - interval '1 hour'
                and o.generation < coalesce((select min(applied_generation) from edges
                                             where lease_until > now()), o.generation + 1)
                and exists (select from route_feed n
                            where n.host = o.host and n.generation > o.generation)
            order by o.generation
            limit $1)",
        BATCH
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Removes edges that have not renewed their lease for a day.
///
/// # Errors
/// Those of every statement.
pub async fn edges(connection: &mut PgConnection) -> Result<u64> {
    let done = sqlx::query!("delete from edges where lease_until < now() - interval '1 day'")
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

/// Makes the partitions of the next days and drops those of logs older than `days`.
///
/// # Errors
/// Those of every statement.
pub async fn logs(connection: &mut PgConnection, days: i32) -> Result<u64> {
    let row = sqlx::query!(
        r#"select zw.ensure_log_partitions() + zw.drop_log_partitions(current_date - $1::int)
            as "changed!""#,
        days
    )
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(row.changed).unwrap_or(0))
}

/// Forgets answers that no client repeats any more, after a day.
///
/// # Errors
/// Those of every statement.
pub async fn idempotency_keys(connection: &mut PgConnection) -> Result<u64> {
    let done = sqlx::query!(
        "delete from idempotency_keys k
        where (k.api_key_id, k.key) in (
            select api_key_id, key from idempotency_keys
            where created_at < now() - interval '1 day'
            limit $1)",
        BATCH
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Removes webhook deliveries that were dealt with more than 30 days ago.
///
/// # Errors
/// Those of every statement.
pub async fn webhook_deliveries(connection: &mut PgConnection) -> Result<u64> {
    let done = sqlx::query!(
        "delete from webhook_deliveries
        where id in (
            select id from webhook_deliveries
            where status <> 'pending' and received_at < now() - interval '30 days'
            limit $1)",
        BATCH
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
