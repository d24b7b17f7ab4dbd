//! The table at one moment: its shards are never changed in place, so holding them is enough.

use std::sync::Arc;

use foldhash::fast::FixedState;
use zeitwork_model::generation::Position;
use zeitwork_model::route::Route;
use zeitwork_protocol::edge::RouteTable;

use super::{Shard, Site, shard_of};

/// All routes at one position.
#[derive(Debug)]
pub struct Frozen {
    /// Where in the history.
    pub position: Position,
    shards: Vec<Arc<Shard>>,
    hasher: FixedState,
    hosts: usize,
}

impl Frozen {
    pub(super) const fn new(
        position: Position,
        shards: Vec<Arc<Shard>>,
        hasher: FixedState,
        hosts: usize,
    ) -> Self {
        Self { position, shards, hasher, hosts }
    }

    /// Number of hosts.
    #[must_use]
    pub const fn hosts(&self) -> usize {
        self.hosts
    }

    /// Every host and its route, in no order.
    pub fn routes(&self) -> impl Iterator<Item = (&str, Route)> {
        let sites = self.shards.iter().flat_map(|shard| shard.values());
        sites.filter_map(|site| Some((&*site.host, site.route()?)))
    }

    /// The route of a host.
    #[must_use]
    pub fn find(&self, host: &str) -> Option<Route> {
        self.shards[shard_of(&self.hasher, host)].get(host)?.route()
    }

    /// The table as a value of its own.
    #[must_use]
    pub fn to_table(&self) -> RouteTable {
        let routes = self.routes().map(|(host, route)| (host.to_owned(), route)).collect();
        let version = zeitwork_protocol::VERSION;
        RouteTable { version, minimum_reader: 1, position: self.position, routes }
    }
}

impl Site {
    /// What the table was told of the host.
    pub(crate) fn route(&self) -> Option<Route> {
        let owner = self.owner?;
        let known = self.upstreams.iter();
        Some(Route {
            organisation: owner.organisation,
            project: owner.project,
            environment: owner.environment,
            endpoints: known.filter_map(|upstream| upstream.endpoint()).collect(),
            timeout_ms: self.timeout_ms,
            shared_domain: self.shared_domain,
        })
    }
}
