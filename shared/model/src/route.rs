//! What the edge knows of a host.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::id::{EnvironmentId, InstanceId, OrganisationId, ProjectId};

/// Where requests for one host go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Owner, for limits and logs.
    pub organisation: OrganisationId,
    /// Project, for logs.
    pub project: ProjectId,
    /// Environment, for logs and metrics.
    pub environment: EnvironmentId,
    /// The healthy instances; empty: 503 `no_instance`.
    pub endpoints: Vec<Endpoint>,
    /// Longest time until the answer's head, in milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u32,
    /// Whether cookies for the parent domain are dropped (the host is on the shared base domain).
    #[serde(default)]
    pub shared_domain: bool,
}

/// One instance that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// Which instance answers there: an address alone is never trusted across generations.
    pub instance: InstanceId,
    /// Where it listens.
    pub address: SocketAddr,
}

const fn default_timeout_ms() -> u32 {
    60_000
}
