//! Environments and events.

use serde::Serialize;
use time::OffsetDateTime;
use time::serde::rfc3339;
use utoipa::ToSchema;
use zeitwork_database::{environments, events};
use zeitwork_model::environment::{EnvironmentKind, HealthCheck, Limits, WEB};
use zeitwork_model::id::{DeploymentId, EnvironmentId, InstanceId, ProjectId};

use crate::config::Config;

/// An environment. What is said of its process is about `web`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Environment {
    /// Its id.
    pub id: EnvironmentId,
    /// Its project.
    pub project: ProjectId,
    /// Unique in its project.
    pub name: String,
    /// What it is for.
    pub kind: EnvironmentKind,
    /// Pattern of the branches that it follows; null: the default branch.
    pub branch: Option<String>,
    /// Where its app is reached.
    pub address: Option<String>,
    /// Whether it is paused.
    pub paused: bool,
    /// How many instances are wanted.
    pub replicas: i32,
    /// Where the app listens; null: the image's one exposed TCP port, else 8080.
    pub port: Option<u16>,
    /// Replaces the image's command; empty: as the image says.
    pub command: Vec<String>,
    /// How instances are checked.
    pub health: HealthCheck,
    /// What an instance may use.
    pub limits: Limits,
    /// Longest time that requests in flight may take when an instance is replaced.
    pub drain_seconds: u32,
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl Environment {
    /// The environment with its `web` process.
    pub fn new(
        config: &Config,
        row: environments::Environment,
        processes: &[environments::Process],
    ) -> Self {
        let web = processes.iter().find(|it| it.environment_id == row.id && it.name == WEB);
        let process = web.map(|web| web.configuration.0.clone()).unwrap_or_default();
        Self {
            id: row.id,
            project: row.project_id,
            name: row.name,
            kind: row.kind,
            branch: row.branch,
            address: row.label.as_deref().map(|label| config.address_of(label)),
            paused: row.paused_at.is_some(),
            replicas: web.map_or(0, |web| web.replicas),
            port: process.port,
            command: process.command,
            health: process.health,
            limits: process.limits,
            drain_seconds: process.drain_seconds,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
pub struct Event {
    /// Grows by one within the environment.
    pub seq: i64,
    /// When.
    #[serde(with = "rfc3339")]
    pub at: OffsetDateTime,
    /// `wish.recorded`, `deployment.live`, …
    pub kind: String,
    /// A sentence for people.
    pub text: String,
    /// About which deployment.
    pub deployment: Option<DeploymentId>,
    /// About which instance.
    pub instance: Option<InstanceId>,
    /// A key's id, `github` or `operator`.
    pub actor: String,
}

impl From<events::Event> for Event {
    fn from(row: events::Event) -> Self {
        Self {
            seq: row.sequence,
            at: row.at,
            kind: row.kind,
            text: row.text,
            deployment: row.deployment_id,
            instance: row.instance_id,
            actor: row.actor,
        }
    }
}
