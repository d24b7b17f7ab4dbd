//! `node_reports`: what each node says of itself, whole, replaced by each report.

use serde_json::Value;
use sqlx::PgConnection;
use zeitwork_protocol::report::NodeReport;

use crate::{Error, Result};

/// Replaces the report of the node whose login this is. `urgent`: something other than figures
/// has changed, so the operator is woken.
///
/// Reasons and steps may quote what a tenant wrote, and `jsonb` holds no U+0000: one of them would
/// silence the node. It becomes U+FFFD.
///
/// # Errors
/// Those of every statement.
pub async fn write(connection: &mut PgConnection, report: &NodeReport, urgent: bool) -> Result<()> {
    let mut report = serde_json::to_value(report)
        .map_err(|source| Error::Unreadable { what: "node report", source })?;
    replace_nul(&mut report);
    sqlx::query!("select zw.report($1, $2)", report, urgent).fetch_one(connection).await?;
    Ok(())
}

fn replace_nul(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(items) => items.iter_mut().for_each(replace_nul),
        Value::Object(fields) => fields.values_mut().for_each(replace_nul),
        _ => {}
    }
}
