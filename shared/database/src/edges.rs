//! Running edges: the lease of each, what it has applied and what it has in flight.

use std::time::Duration;

use sqlx::PgConnection;
use zeitwork_model::id::EdgeId;
use zeitwork_protocol::edge::EdgeReport;

use crate::{Error, Result};

/// How long an edge that is silent is waited for.
pub const LEASE: Duration = Duration::from_secs(15);

/// Writes an edge's report and renews its lease.
///
/// # Errors
/// Those of every statement.
pub async fn report(
    connection: &mut PgConnection,
    id: EdgeId,
    name: &str,
    report: &EdgeReport,
) -> Result<()> {
    let in_flight = serde_json::to_value(&report.in_flight)
        .map_err(|source| Error::Unreadable { what: "report of an edge", source })?;
    sqlx::query!(
        "insert into edges (id, name, version, epoch, applied_generation, in_flight, lease_until)
        values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))
        on conflict (id) do update set
            name = excluded.name, version = excluded.version, epoch = excluded.epoch,
            applied_generation = excluded.applied_generation, in_flight = excluded.in_flight,
            reported_at = now(), lease_until = excluded.lease_until",
        id as EdgeId,
        name,
        report.version,
        report.applied.epoch,
        report.applied.generation,
        in_flight,
        LEASE.as_secs_f64()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// An edge has ended with nothing in flight: nobody waits for it any more.
///
/// # Errors
/// Those of every statement.
pub async fn leave(connection: &mut PgConnection, id: EdgeId) -> Result<()> {
    sqlx::query!("delete from edges where id = $1", id as EdgeId).execute(connection).await?;
    Ok(())
}
