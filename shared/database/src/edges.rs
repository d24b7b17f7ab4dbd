//! Running edges: the lease of each, what it has applied and what it has in flight.

use std::time::Duration;

use sqlx::PgConnection;
use zeitwork_model::id::EdgeId;
use zeitwork_protocol::edge::EdgeReport;

use crate::{Error, Result};

/// How long an edge that is silent is waited for: as `zw.report_edge` has it.
pub const LEASE: Duration = Duration::from_secs(15);

/// Writes an edge's report and renews its lease, which belongs to the session's login.
///
/// # Errors
/// Those of every statement; a refusal where the lease is of another login.
pub async fn report(
    connection: &mut PgConnection,
    id: EdgeId,
    name: &str,
    report: &EdgeReport,
) -> Result<()> {
    let in_flight = serde_json::to_value(&report.in_flight)
        .map_err(|source| Error::Unreadable { what: "report of an edge", source })?;
    sqlx::query!(
        r#"select zw.report_edge($1, $2, $3, $4, $5, $6)::text as "done""#,
        id as EdgeId,
        name,
        report.version,
        report.applied.epoch,
        report.applied.generation,
        in_flight
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// An edge has ended with nothing in flight: nobody waits for it any more.
///
/// # Errors
/// Those of every statement.
pub async fn leave(connection: &mut PgConnection, id: EdgeId) -> Result<()> {
    sqlx::query!(r#"select zw.leave_edge($1)::text as "done""#, id as EdgeId)
        .fetch_one(connection)
        .await?;
    Ok(())
}
