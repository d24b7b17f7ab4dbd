//! Deployments, builds and instances.

use serde::Serialize;
use time::OffsetDateTime;
use time::serde::rfc3339;
use utoipa::ToSchema;
use zeitwork_database::{builds, deployments, instances};
use zeitwork_model::build::BuildStatus;
use zeitwork_model::deployment::DeploymentStatus;
use zeitwork_model::environment::Trigger;
use zeitwork_model::id::{BuildId, DeploymentId, EnvironmentId, InstanceId, ProjectId};
use zeitwork_model::instance::InstanceStatus;
use zeitwork_model::reason::Reason;

use super::reason;
use crate::config::Config;

/// A deployment.
#[derive(Debug, Serialize, ToSchema)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// Its project.
    pub project: ProjectId,
    /// Name of its environment.
    pub environment: String,
    /// Id of its environment.
    pub environment_id: EnvironmentId,
    /// The commit; null until a branch or tag has been resolved.
    pub commit: Option<String>,
    /// The branch or tag that was asked for.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Of the commit.
    pub message: String,
    /// What made it.
    pub trigger: Trigger,
    /// How far it is.
    pub status: DeploymentStatus,
    /// Why it is where it is.
    pub reason: Option<Reason>,
    /// The build of its image.
    pub build: Option<BuildId>,
    /// Where the environment's app is reached.
    pub address: Option<String>,
    /// When it was wished for first.
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it went live last.
    #[serde(with = "rfc3339::option")]
    pub live_at: Option<OffsetDateTime>,
    /// When it ended.
    #[serde(with = "rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
}

impl Deployment {
    /// The deployment with the address of its environment.
    pub fn new(config: &Config, row: deployments::Deployment) -> Self {
        Self {
            id: row.id,
            project: row.project_id,
            environment: row.environment,
            environment_id: row.environment_id,
            commit: row.commit_sha,
            reference: row.reference,
            message: row.message,
            trigger: row.trigger,
            status: row.status,
            reason: reason(row.reason_code, row.reason_text),
            build: row.build_id,
            address: row.label.as_deref().map(|label| config.address_of(label)),
            created_at: row.created_at,
            live_at: row.live_at,
            finished_at: row.finished_at,
        }
    }
}

/// A build.
#[derive(Debug, Serialize, ToSchema)]
pub struct Build {
    /// Its id.
    pub id: BuildId,
    /// Its project.
    pub project: ProjectId,
    /// What is built.
    pub commit: String,
    /// How far it is.
    pub status: BuildStatus,
    /// What it is at: `checkout`, `base` (images), `build`, `export`.
    pub step: Option<String>,
    /// How often it was tried.
    pub attempt: i32,
    /// Why it is where it is.
    pub reason: Option<Reason>,
    /// Whether somebody asked for its end.
    pub cancel_requested: bool,
    /// When it was queued.
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it began.
    #[serde(with = "rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    #[serde(with = "rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
}

impl From<builds::Build> for Build {
    fn from(row: builds::Build) -> Self {
        Self {
            id: row.id,
            project: row.project_id,
            commit: row.commit_sha,
            status: row.status,
            step: row.step,
            attempt: row.attempt,
            reason: reason(row.reason_code, row.reason_text),
            cancel_requested: row.cancel_requested_at.is_some(),
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
        }
    }
}

/// An instance.
#[derive(Debug, Serialize, ToSchema)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Its project.
    pub project: ProjectId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// Its deployment.
    pub deployment: DeploymentId,
    /// Its process.
    pub process: String,
    /// How it is.
    pub status: InstanceStatus,
    /// Why it is not healthy.
    pub reason: Option<Reason>,
    /// Starts after the first.
    pub restarts: i32,
    /// Of its last end.
    pub exit_code: Option<i32>,
    /// Whether its last end was for lack of memory.
    pub oom_killed: bool,
    /// Name of the node that it runs on.
    pub node: String,
    /// `address:port` on the node; null once released.
    pub endpoint: Option<String>,
    /// What it uses, by the newest report.
    pub usage: Option<serde_json::Value>,
    /// When it was placed.
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was healthy first.
    #[serde(with = "rfc3339::option")]
    pub healthy_at: Option<OffsetDateTime>,
    /// When it ended.
    #[serde(with = "rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
}

impl From<instances::Instance> for Instance {
    fn from(row: instances::Instance) -> Self {
        Self {
            id: row.id,
            project: row.project_id,
            environment: row.environment_id,
            deployment: row.deployment_id,
            process: row.process,
            status: row.status,
            reason: reason(row.reason_code, row.reason_text),
            restarts: row.restarts,
            exit_code: row.exit_code,
            oom_killed: row.oom_killed,
            node: row.node,
            endpoint: row.address.map(|address| format!("{}:{}", address.ip(), row.port)),
            usage: row.usage,
            created_at: row.created_at,
            healthy_at: row.healthy_at,
            finished_at: row.finished_at,
        }
    }
}
