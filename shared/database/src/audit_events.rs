//! Who did what: append-only, written in the transaction of the change.

use std::net::IpAddr;

use sqlx::PgConnection;
use sqlx::types::ipnetwork::IpNetwork;
use time::OffsetDateTime;
use zeitwork_model::id::OrganisationId;

use crate::Result;

/// An entry to be written.
#[derive(Debug, Clone)]
pub struct NewAuditEvent<'a> {
    /// Whose journal.
    pub organisation_id: OrganisationId,
    /// Id of the key, or `github`, `owner`.
    pub actor: &'a str,
    /// `project.create`, …
    pub action: &'a str,
    /// Id of what was changed.
    pub subject: &'a str,
    /// What was changed; never secret values.
    pub detail: serde_json::Value,
    /// Of the request.
    pub request_id: &'a str,
    /// Who called.
    pub source_address: Option<IpAddr>,
}

/// An entry.
#[derive(Debug, Clone)]
pub struct AuditEvent {
    /// Grows.
    pub id: i64,
    /// Id of the key, or `github`, `owner`.
    pub actor: String,
    /// `project.create`, …
    pub action: String,
    /// Id of what was changed.
    pub subject: String,
    /// What was changed.
    pub detail: serde_json::Value,
    /// Of the request.
    pub request_id: Option<String>,
    /// Who called.
    pub source_address: Option<IpNetwork>,
    /// When.
    pub at: OffsetDateTime,
}

/// Writes an entry.
///
/// # Errors
/// Those of every statement.
pub async fn append(connection: &mut PgConnection, new: &NewAuditEvent<'_>) -> Result<()> {
    sqlx::query!(
        "insert into audit_events (organisation_id, actor, action, subject, detail, request_id,
            source_address)
        values ($1, $2, $3, $4, $5, $6, $7)",
        new.organisation_id as OrganisationId,
        new.actor,
        new.action,
        new.subject,
        new.detail,
        new.request_id,
        new.source_address.map(IpNetwork::from) as Option<IpNetwork>
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The organisation's entries, newest first.
///
/// # Errors
/// Those of every statement.
pub async fn list(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<AuditEvent>> {
    let rows = sqlx::query_as!(
        AuditEvent,
        r#"select id, actor, action, subject, detail, request_id,
            source_address as "source_address: IpNetwork", at
        from audit_events
        where organisation_id = $1 and ($2::bigint is null or id < $2)
        order by id desc
        limit $3"#,
        organisation as OrganisationId,
        before,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}
