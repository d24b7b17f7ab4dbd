//! Organisations, keys and the audit journal.

use serde::Serialize;
use time::OffsetDateTime;
use time::serde::rfc3339;
use utoipa::ToSchema;
use zeitwork_database::{api_keys, audit_events, organisations};
use zeitwork_model::id::{ApiKeyId, OrganisationId};
use zeitwork_model::scope::Scope;

/// An organisation.
#[derive(Debug, Serialize, ToSchema)]
pub struct Organisation {
    /// Its id.
    pub id: OrganisationId,
    /// Unique in the installation.
    pub slug: String,
    /// For people.
    pub name: String,
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
}

impl From<organisations::Organisation> for Organisation {
    fn from(row: organisations::Organisation) -> Self {
        Self { id: row.id, slug: row.slug, name: row.name, created_at: row.created_at }
    }
}

/// An API key, without the key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct Key {
    /// Its id.
    pub id: ApiKeyId,
    /// For people.
    pub name: String,
    /// The visible part.
    pub prefix: String,
    /// What it may do; each scope includes those before it.
    pub scope: Scope,
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it ends by itself.
    #[serde(with = "rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// When somebody ended it.
    #[serde(with = "rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
    /// About when it was used last.
    #[serde(with = "rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
}

impl From<api_keys::ApiKey> for Key {
    fn from(row: api_keys::ApiKey) -> Self {
        Self {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            scope: row.scope,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        }
    }
}

/// A new API key: the only answer that holds it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewApiKeyShown)]
pub struct ShownKey {
    /// What stays visible.
    #[serde(flatten)]
    pub shown: Key,
    /// The key itself; it cannot be had again.
    pub key: String,
}

/// Who did what.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditEvent {
    /// Grows.
    pub id: i64,
    /// When.
    #[serde(with = "rfc3339")]
    pub at: OffsetDateTime,
    /// A key's id, `github` or `owner`.
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
    pub source_address: Option<String>,
}

impl From<audit_events::AuditEvent> for AuditEvent {
    fn from(row: audit_events::AuditEvent) -> Self {
        Self {
            id: row.id,
            at: row.at,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            detail: row.detail,
            request_id: row.request_id,
            source_address: row.source_address.map(|address| address.ip().to_string()),
        }
    }
}
