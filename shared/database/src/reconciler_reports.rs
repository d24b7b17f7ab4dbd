//! What each loop of the operator did last.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::Result;

/// What a loop did last and in all.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// Its noun.
    pub name: &'a str,
    /// When its latest pass began.
    pub last_pass_at: OffsetDateTime,
    /// How long that took.
    pub duration_ms: i64,
    /// Passes since the operator started.
    pub passes: i64,
    /// Steps carried out since then.
    pub actions: i64,
    /// Steps that only the periodic look found.
    pub drift_found: i64,
    /// Why the latest pass did not work.
    pub error: Option<&'a str>,
    /// More: reasons why things wait.
    pub detail: serde_json::Value,
}

/// Writes the reports.
///
/// # Errors
/// Those of every statement.
pub async fn put(connection: &mut PgConnection, reports: &[Report<'_>]) -> Result<()> {
    for report in reports {
        sqlx::query!(
            "insert into reconciler_reports (name, last_pass_at, duration_ms, passes, actions,
                drift_found, error, detail)
            values ($1, $2, $3, $4, $5, $6, $7, $8)
            on conflict (name) do update
            set last_pass_at = excluded.last_pass_at, duration_ms = excluded.duration_ms,
                passes = excluded.passes, actions = excluded.actions,
                drift_found = excluded.drift_found, error = excluded.error,
                detail = excluded.detail",
            report.name,
            report.last_pass_at,
            report.duration_ms,
            report.passes,
            report.actions,
            report.drift_found,
            report.error,
            report.detail
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
