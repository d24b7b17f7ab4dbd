//! What the operator wants of one node.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use zeitwork_model::environment::{HealthCheck, Limits};
use zeitwork_model::generation::Position;
use zeitwork_model::id::{
    BuildId, DeploymentId, EnvironmentId, InstanceId, OrganisationId, ProjectId,
};
use zeitwork_model::instance::InstanceGoal;

use crate::sealed::Sealed;

/// All that one node shall run and build. Whatever it has that is not listed, it stops and
/// removes; a target older than the last one is refused ([`Position::refuses`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTarget {
    /// Version of the writer.
    pub version: u32,
    /// Oldest reader that can follow it.
    pub minimum_reader: u32,
    /// Where in the history.
    pub position: Position,
    /// The instances.
    pub instances: Vec<InstanceTarget>,
    /// The builds whose lease this node has been given.
    pub builds: Vec<BuildTarget>,
    /// Engine ids of images to keep although nothing runs them (rollback). Images that carry our
    /// label and are neither listed nor run are removed by the agent.
    pub keep_images: Vec<String>,
}

/// One instance as it shall be. Only `goal` ever changes for an id; everything else is fixed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceTarget {
    /// The instance.
    pub id: InstanceId,
    /// Its owner.
    pub organisation: OrganisationId,
    /// Its project: instances of one project reach each other, no others.
    pub project: ProjectId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// Its deployment.
    pub deployment: DeploymentId,
    /// Process type, `web` for the one that is routed to.
    pub process: String,
    /// Commit, for labels and `ZEITWORK_COMMIT`.
    pub commit: String,
    /// What is wanted of it.
    pub goal: InstanceGoal,
    /// The image, by the id that this node's engine reported (`sha256:…`).
    pub image: String,
    /// Replaces the image's command; empty: as the image says.
    pub command: Vec<String>,
    /// Reserved for it in the node's subnet.
    pub address: Ipv4Addr,
    /// Where it listens; handed to it as `PORT`.
    pub port: u16,
    /// Names by which other instances of its project find it (`web.shop.internal`).
    pub names: Vec<String>,
    /// How it is checked.
    pub health: HealthCheck,
    /// What it may use.
    pub limits: Limits,
    /// Time between SIGTERM and SIGKILL, in milliseconds.
    pub stop_grace_ms: u32,
    /// Its variables: sealed JSON object, each `{"value", "secret"}`, or a string where it is
    /// secret.
    pub variables: Sealed,
}

/// One build as it shall be done, under a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildTarget {
    /// The build.
    pub id: BuildId,
    /// Which attempt: the fencing token. A report for another attempt is refused.
    pub attempt: i32,
    /// The owner.
    pub organisation: OrganisationId,
    /// The project: name space of its build cache.
    pub project: ProjectId,
    /// `https://…`, without credentials.
    pub repository_url: String,
    /// Exactly this commit, 40 (or 64) hexadecimal characters.
    pub commit: String,
    /// Directory of the checkout that is the build context; empty: its root.
    pub root_directory: String,
    /// Dockerfile, relative to the root directory.
    pub dockerfile: String,
    /// Sealed JSON object of strings: build arguments, none of them secret.
    pub variables: Sealed,
    /// Sealed `Authorization` header value for the repository, if it needs one.
    pub authorization: Option<Sealed>,
    /// The build is killed after so many seconds.
    pub timeout_seconds: u32,
    /// What the build may use.
    pub limits: Limits,
    /// Bytes of the checkout at most.
    pub maximum_checkout_bytes: u64,
}
