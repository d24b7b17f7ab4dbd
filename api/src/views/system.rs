//! Nodes, deliveries and what the platform says of itself.

use serde::Serialize;
use time::OffsetDateTime;
use time::serde::rfc3339;
use utoipa::ToSchema;
use zeitwork_database::{github_installations, nodes, system, webhook_deliveries};
use zeitwork_model::id::{DeliveryId, NodeId, OrganisationId};
use zeitwork_model::node::NodeStatus;
use zeitwork_model::reason::Reason;
use zeitwork_model::webhook::DeliveryStatus;

use super::reason;

/// A node.
#[derive(Debug, Serialize, ToSchema)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Unique in the installation.
    pub name: String,
    /// How it is.
    pub status: NodeStatus,
    /// Whether it builds.
    pub builder: bool,
    /// The host, by its newest report.
    pub host: Option<serde_json::Value>,
    /// What keeps it from working as it should.
    pub problems: serde_json::Value,
    /// When it reported last.
    #[serde(with = "rfc3339::option")]
    pub reported_at: Option<OffsetDateTime>,
    /// When it joined.
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
}

impl From<nodes::Node> for Node {
    fn from(row: nodes::Node) -> Self {
        Self {
            id: row.id,
            name: row.name,
            status: row.status,
            builder: row.builder,
            host: row.host,
            problems: row.problems,
            reported_at: row.reported_at,
            created_at: row.created_at,
        }
    }
}

/// A webhook delivery.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookDelivery {
    /// Our id.
    pub id: DeliveryId,
    /// The sender's id.
    pub delivery_id: String,
    /// `push`, `installation`, …
    pub event: String,
    /// `owner/name`.
    pub repository: Option<String>,
    /// How far it is.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: i32,
    /// Why it is where it is.
    pub reason: Option<Reason>,
    /// When it came.
    #[serde(with = "rfc3339")]
    pub received_at: OffsetDateTime,
    /// When it was done.
    #[serde(with = "rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
}

impl From<webhook_deliveries::Delivery> for WebhookDelivery {
    fn from(row: webhook_deliveries::Delivery) -> Self {
        Self {
            id: row.id,
            delivery_id: row.delivery_id,
            event: row.event,
            repository: row.repository,
            status: row.status,
            attempts: row.attempts,
            reason: reason(row.reason_code, row.reason_text),
            received_at: row.received_at,
            finished_at: row.finished_at,
        }
    }
}

/// What a reconciler did last.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReconcilerReport {
    /// The noun that it keeps right.
    pub name: String,
    /// When.
    #[serde(with = "rfc3339")]
    pub last_pass_at: OffsetDateTime,
    /// How long.
    pub duration_ms: i64,
    /// How often in all.
    pub passes: i64,
    /// Steps in all.
    pub actions: i64,
    /// Periodic passes that found work in all.
    pub drift_found: i64,
    /// Of the last pass.
    pub error: Option<String>,
    /// Reasons and counts of its own.
    pub detail: serde_json::Value,
}

impl From<system::ReconcilerReport> for ReconcilerReport {
    fn from(row: system::ReconcilerReport) -> Self {
        Self {
            name: row.name,
            last_pass_at: row.last_pass_at,
            duration_ms: row.duration_ms,
            passes: row.passes,
            actions: row.actions,
            drift_found: row.drift_found,
            error: row.error,
            detail: row.detail,
        }
    }
}

/// A rule and how often it is broken now.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsistencyCheck {
    /// Stable.
    pub name: String,
    /// What must hold.
    pub promise: String,
    /// Rows that break it.
    pub violations: i64,
}

/// Whether what must hold holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct Consistency {
    /// No rule is broken.
    pub consistent: bool,
    /// Each rule.
    pub checks: Vec<ConsistencyCheck>,
}

impl From<Vec<system::Check>> for Consistency {
    fn from(rows: Vec<system::Check>) -> Self {
        let checks = rows.into_iter().map(|row| ConsistencyCheck {
            name: row.name,
            promise: row.promise,
            violations: row.violations,
        });
        let checks: Vec<ConsistencyCheck> = checks.collect();
        Self { consistent: checks.iter().all(|check| check.violations == 0), checks }
    }
}

/// Which program answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Version {
    /// Of the api.
    pub version: String,
    /// Of the installation: stands in every name and label of ours.
    pub installation: String,
}

/// A GitHub installation.
#[derive(Debug, Serialize, ToSchema)]
pub struct GithubInstallation {
    /// GitHub's number.
    pub id: i64,
    /// The account's login.
    pub account: String,
    /// Whose projects may use it; null: nobody's yet.
    pub organisation_id: Option<OrganisationId>,
    /// Whether GitHub suspended it.
    pub suspended: bool,
    /// Since when it is known.
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
}

impl From<github_installations::Installation> for GithubInstallation {
    fn from(row: github_installations::Installation) -> Self {
        Self {
            id: row.installation_id,
            account: row.account,
            organisation_id: row.organisation_id,
            suspended: row.suspended_at.is_some(),
            created_at: row.created_at,
        }
    }
}
