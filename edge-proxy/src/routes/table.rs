//! All routes in memory, looked up without a lock, changed host by host.
//!
//! The table is a fixed number of shards; a change copies one shard and swaps it. Its second
//! job is the count of what is in flight, and that count must be exact where it says "none":
//!
//! ```text
//! worker:   v1 = version · find site · count up · v2 = version · v1 ≠ v2 → count down, again
//! follower: swap shards · version + 1 · (later) read the counts
//! ```
//! All of these are sequentially consistent. A worker that kept its choice read `v2` before the
//! follower's increment, so its count was up before the follower read the counts: a report that
//! names a position and no request for an instance means that no request chosen by an older
//! position will be sent to it.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use foldhash::fast::FixedState;
use tokio::sync::mpsc;
use zeitwork_model::generation::Position;
use zeitwork_model::id::{EnvironmentId, InstanceId, OrganisationId, ProjectId};
use zeitwork_model::route::{Endpoint, Route};
use zeitwork_protocol::edge::{EdgeReport, RouteChange, RouteTable};

use crate::upstream::Upstream;

/// A change copies a shard: with a million hosts that is a thousand pointers.
const SHARDS: usize = 1024;

type Shard = HashMap<Arc<str>, Arc<Site>, FixedState>;

/// A host as requests meet it.
#[derive(Debug)]
pub struct Site {
    /// The host's name.
    pub host: Arc<str>,
    /// Whose it is; none for what the configuration routes.
    pub owner: Option<Owner>,
    /// The instances that serve.
    pub upstreams: Box<[Arc<Upstream>]>,
    /// Longest time until the answer's head, in milliseconds.
    pub timeout_ms: u32,
    /// Whether cookies for a parent domain are dropped.
    pub shared_domain: bool,
}

/// Whose host it is, for logs.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// Organisation.
    pub organisation: OrganisationId,
    /// Project.
    pub project: ProjectId,
    /// Environment.
    pub environment: EnvironmentId,
}

/// The table; shared by all workers and written by one follower.
#[derive(Debug)]
pub struct Table {
    shards: Box<[ArcSwap<Shard>]>,
    hasher: FixedState,
    version: AtomicU64,
    fixed: Shard,
    writer: Mutex<Writer>,
}

#[derive(Debug, Default)]
struct Writer {
    position: Option<Position>,
    upstreams: HashMap<(InstanceId, SocketAddr), Known>,
    hosts: usize,
    workers: Vec<mpsc::UnboundedSender<Arc<Upstream>>>,
}

#[derive(Debug)]
struct Known {
    upstream: Arc<Upstream>,
    /// Routes that name it; with none it is gone, and kept only while something is in flight.
    routes: usize,
}

impl Table {
    /// An empty table; `fixed` are hosts that the configuration routes, and they win.
    #[must_use]
    pub fn new(fixed: &[(String, SocketAddr)]) -> Self {
        let site = |(host, address): &(String, SocketAddr)| {
            let host: Arc<str> = host.as_str().into();
            let upstreams = Box::new([Arc::new(Upstream::fixed(*address))]);
            // Log and event streams of the api send their head at once.
            let site = Site {
                host: host.clone(),
                owner: None,
                upstreams,
                timeout_ms: 60_000,
                shared_domain: false,
            };
            (host, Arc::new(site))
        };
        Self {
            shards: (0..SHARDS).map(|_| ArcSwap::from_pointee(Shard::default())).collect(),
            hasher: FixedState::default(),
            version: AtomicU64::new(0),
            fixed: fixed.iter().map(site).collect(),
            writer: Mutex::default(),
        }
    }

    /// The route of a host in its normal form.
    #[must_use]
    pub fn find(&self, host: &str) -> Option<Arc<Site>> {
        if let Some(site) = self.fixed.get(host) {
            return Some(site.clone());
        }
        self.shards[self.shard_of(host)].load().get(host).cloned()
    }

    /// Grows with each change; see the module's note on counts.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// The position that is routed by; none before the first table.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.writer().position
    }

    /// Number of hosts.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.writer().hosts
    }

    /// What an added worker must know: upstreams that left the table, whose idle connections it
    /// closes at once.
    #[must_use]
    pub fn departures(&self) -> mpsc::UnboundedReceiver<Arc<Upstream>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.writer().workers.push(sender);
        receiver
    }

    /// Takes a whole table in place of the present one. Whether it may be older is the caller's
    /// to judge.
    pub fn replace(&self, table: RouteTable) {
        let mut writer = self.writer();
        let mut shards: Vec<Shard> = (0..SHARDS).map(|_| Shard::default()).collect();
        writer.hosts = table.routes.len();
        for (host, route) in table.routes {
            let site = writer.site(&host, &route);
            shards[self.shard_of(&host)].insert(site.host.clone(), site);
        }
        for (place, shard) in self.shards.iter().zip(shards) {
            let old = place.swap(Arc::new(shard));
            old.values().for_each(|site| writer.release(site));
        }
        self.settle(&mut writer, table.position);
    }

    /// Takes changes up to `position`, host by host.
    pub fn apply(&self, changes: Vec<RouteChange>, position: Position) {
        let mut writer = self.writer();
        for RouteChange { host, route, .. } in changes {
            let place = &self.shards[self.shard_of(&host)];
            let mut shard = Shard::clone(&place.load());
            let old = match route {
                Some(route) => {
                    let site = writer.site(&host, &route);
                    shard.insert(site.host.clone(), site)
                }
                None => shard.remove(host.as_str()),
            };
            let before = place.swap(Arc::new(shard));
            writer.hosts = writer.hosts + place.load().len() - before.len();
            if let Some(old) = old {
                writer.release(&old);
            }
        }
        self.settle(&mut writer, position);
    }

    /// What this edge routes by, and what is in flight, as the lease reports it.
    #[must_use]
    pub fn report(&self, version: &str) -> Option<EdgeReport> {
        let mut writer = self.writer();
        let applied = writer.position?;
        let mut report =
            EdgeReport { applied, in_flight: BTreeMap::new(), version: version.to_owned() };
        writer.upstreams.retain(|(instance, _), known| {
            let count = known.upstream.in_flight();
            if count > 0 {
                *report.in_flight.entry(*instance).or_default() += count;
            }
            count > 0 || known.routes > 0
        });
        Some(report)
    }

    /// The table as it is written to disk.
    #[must_use]
    pub fn snapshot(&self) -> Option<RouteTable> {
        // The writer is held, so the shards are all of one position.
        let writer = self.writer();
        let position = writer.position?;
        let mut routes = std::collections::BTreeMap::new();
        for shard in &self.shards {
            let shard = shard.load();
            routes.extend(
                shard.values().filter_map(|site| Some((site.host.to_string(), site.route()?))),
            );
        }
        Some(RouteTable {
            version: zeitwork_protocol::VERSION,
            minimum_reader: 1,
            position,
            routes,
        })
    }

    /// Instances that have left the table and still have something in flight: the fewer the
    /// sooner they may be stopped, so the follower reports when this changes.
    #[must_use]
    pub fn draining(&self) -> usize {
        let writer = self.writer();
        let left = writer.upstreams.values().filter(|known| known.routes == 0);
        left.filter(|known| known.upstream.in_flight() > 0).count()
    }

    fn settle(&self, writer: &mut Writer, position: Position) {
        self.version.fetch_add(1, Ordering::SeqCst);
        writer.position = Some(position);
        let Writer { upstreams, workers, .. } = writer;
        for known in upstreams.values().filter(|known| known.routes == 0) {
            if known.upstream.leave() {
                workers.retain(|worker| worker.send(known.upstream.clone()).is_ok());
            }
        }
    }

    fn shard_of(&self, host: &str) -> usize {
        // The low bits choose the bucket within a shard, so the high ones choose the shard.
        (self.hasher.hash_one(host) >> 48) as usize % SHARDS
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn site(&mut self, host: &str, route: &Route) -> Arc<Site> {
        let owner = Owner {
            organisation: route.organisation,
            project: route.project,
            environment: route.environment,
        };
        let upstreams = route.endpoints.iter().map(|endpoint| self.upstream(*endpoint)).collect();
        Arc::new(Site {
            host: host.into(),
            owner: Some(owner),
            upstreams,
            timeout_ms: route.timeout_ms,
            shared_domain: route.shared_domain,
        })
    }

    fn upstream(&mut self, endpoint: Endpoint) -> Arc<Upstream> {
        let known = self
            .upstreams
            .entry((endpoint.instance, endpoint.address))
            .or_insert_with(|| Known { upstream: Arc::new(Upstream::of(endpoint)), routes: 0 });
        known.routes += 1;
        known.upstream.enter();
        known.upstream.clone()
    }

    fn release(&mut self, site: &Site) {
        for upstream in &site.upstreams {
            let Some(instance) = upstream.instance else { continue };
            if let Some(known) = self.upstreams.get_mut(&(instance, upstream.address)) {
                known.routes = known.routes.saturating_sub(1);
            }
        }
    }
}

impl Site {
    fn route(&self) -> Option<Route> {
        let owner = self.owner?;
        Some(Route {
            organisation: owner.organisation,
            project: owner.project,
            environment: owner.environment,
            endpoints: self
                .upstreams
                .iter()
                .filter_map(|upstream| {
                    Some(Endpoint { instance: upstream.instance?, address: upstream.address })
                })
                .collect(),
            timeout_ms: self.timeout_ms,
            shared_domain: self.shared_domain,
        })
    }
}
