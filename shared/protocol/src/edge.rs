//! The edge's route table, its changes, and what an edge says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeitwork_model::generation::Position;
use zeitwork_model::id::InstanceId;
use zeitwork_model::route::Route;

/// All routes at one position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Version of the writer.
    pub version: u32,
    /// Oldest reader that can follow it.
    pub minimum_reader: u32,
    /// Where in the history.
    pub position: Position,
    /// Routes by host, lower case, without port.
    pub routes: BTreeMap<String, Route>,
}

/// One changed host: its route now, or none where it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteChange {
    /// Generation of the change.
    pub generation: i64,
    /// The host.
    pub host: String,
    /// Its route now.
    pub route: Option<Route>,
}

/// What an edge may be told when it asks for changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feed {
    /// What comes after its position, oldest first; empty: nothing has changed.
    Changes {
        /// The changed hosts.
        changes: Vec<RouteChange>,
        /// Whether there are further ones.
        more: bool,
    },
    /// Its position is of another epoch or older than the oldest kept change.
    TakeSnapshot,
}

/// What an edge writes with its lease, about once a second and after each applied change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeReport {
    /// The position that it routes by, also after it is killed and started again.
    pub applied: Position,
    /// Requests, upgrades and streams in flight per instance that no route of this edge names any
    /// more; those with none are left out.
    pub in_flight: BTreeMap<InstanceId, u32>,
    /// Version of the edge.
    pub version: String,
}
