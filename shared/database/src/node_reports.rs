//! `node_reports`: what each node says of itself, whole, replaced by each report.

use sqlx::PgConnection;
use zeitwork_protocol::report::NodeReport;

use crate::{Error, Result};

/// Replaces the report of the node whose login this is. `urgent`: something other than figures
/// has changed, so the operator is woken.
///
/// # Errors
/// Those of every statement.
pub async fn write(connection: &mut PgConnection, report: &NodeReport, urgent: bool) -> Result<()> {
    let report = serde_json::to_value(report)
        .map_err(|source| Error::Unreadable { what: "node report", source })?;
    sqlx::query!("select zw.report($1, $2)", report, urgent).fetch_one(connection).await?;
    Ok(())
}
