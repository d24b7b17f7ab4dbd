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

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use foldhash::fast::FixedState;
use tokio::sync::{Notify, mpsc};
use zeitwork_model::generation::Position;
use zeitwork_model::id::{EnvironmentId, InstanceId, OrganisationId, ProjectId};
use zeitwork_model::route::{Endpoint, Route};
use zeitwork_protocol::edge::{EdgeReport, RouteChange, RouteTable};

use crate::upstream::Upstream;

pub use frozen::Frozen;
use unsaved::Changes;
pub use unsaved::{Host, Unsaved, What};

mod frozen;
mod unsaved;

/// A change copies a shard: with a million hosts that is a thousand pointers.
const SHARDS: usize = 1024;

type Shard = HashMap<Arc<str>, Arc<Site>, FixedState>;
/// An upstream among those that are known.
type Key = (InstanceId, SocketAddr);

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
    changed: Notify,
}

#[derive(Debug, Default)]
struct Writer {
    position: Option<Position>,
    upstreams: HashMap<Key, Known>,
    /// Those that no route names; kept while something is in flight.
    leaving: HashSet<Key>,
    hosts: usize,
    workers: Vec<mpsc::UnboundedSender<Arc<Upstream>>>,
    unsaved: Changes,
}

#[derive(Debug)]
struct Known {
    upstream: Arc<Upstream>,
    /// Routes that name it.
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
            changed: Notify::new(),
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
        writer.unsaved.all();
        self.settle(&mut writer, table.position);
    }

    /// Takes changes up to `position`, host by host.
    pub fn apply(&self, changes: Vec<RouteChange>, position: Position) {
        let mut writer = self.writer();
        for RouteChange { host, route, .. } in changes {
            let place = &self.shards[self.shard_of(&host)];
            let mut shard = Shard::clone(&place.load());
            let site = route.map(|route| writer.site(&host, &route));
            let old = match &site {
                Some(site) => shard.insert(site.host.clone(), site.clone()),
                None => shard.remove(host.as_str()),
            };
            let before = place.swap(Arc::new(shard));
            writer.hosts = writer.hosts + place.load().len() - before.len();
            if let Some(old) = old {
                writer.release(&old);
            }
            writer.unsaved.one(host, site);
        }
        writer.unsaved.step();
        self.settle(&mut writer, position);
    }

    /// What the lease reports: what is in flight to instances that have left the table, beside
    /// the position that is on disk. None: that position is not of the table's own past.
    #[must_use]
    pub fn report(&self, on_disk: Position, version: &str) -> Option<EdgeReport> {
        let mut writer = self.writer();
        let position = writer.position?;
        if position.epoch != on_disk.epoch || position.generation < on_disk.generation {
            return None;
        }
        let mut in_flight = BTreeMap::new();
        writer.forget_the_drained(|(instance, _), count| {
            *in_flight.entry(*instance).or_default() += count;
        });
        Some(EdgeReport { applied: on_disk, in_flight, version: version.to_owned() })
    }

    /// The table as it is now, whatever is changed afterwards; costs a pointer per shard.
    #[must_use]
    pub fn freeze(&self) -> Option<Frozen> {
        self.frozen(&self.writer())
    }

    /// Waits until there may be something unsaved. For one task.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What has changed since this was asked last.
    #[must_use]
    pub fn take_unsaved(&self) -> Option<Unsaved> {
        let mut writer = self.writer();
        let position = writer.position?;
        let what = match writer.unsaved.take()? {
            Changes::Hosts(hosts) => What::Changes(hosts),
            Changes::Saved | Changes::All => What::Table(self.frozen(&writer)?),
        };
        Some(Unsaved { position, what })
    }

    /// Saving has failed: the whole table is unsaved again.
    pub fn unsave(&self) {
        self.writer().unsaved.all();
        self.changed.notify_one();
    }

    /// Instances that have left the table and still have something in flight: the fewer the
    /// sooner they may be stopped, so it is reported when this changes.
    #[must_use]
    pub fn draining(&self) -> usize {
        let mut count = 0;
        self.writer().forget_the_drained(|_, _| count += 1);
        count
    }

    /// Requests in flight to an instance, routed or not.
    #[cfg(test)]
    pub fn in_flight(&self, instance: InstanceId) -> u32 {
        let writer = self.writer();
        let known = writer.upstreams.iter().filter(|((of, _), _)| *of == instance);
        known.map(|(_, known)| known.upstream.in_flight()).sum()
    }

    fn frozen(&self, writer: &Writer) -> Option<Frozen> {
        // The writer is held, so the shards are all of one position.
        let shards = self.shards.iter().map(ArcSwap::load_full).collect();
        Some(Frozen::new(writer.position?, shards, self.hasher.clone(), writer.hosts))
    }

    fn settle(&self, writer: &mut Writer, position: Position) {
        self.version.fetch_add(1, Ordering::SeqCst);
        writer.position = Some(position);
        let Writer { upstreams, leaving, workers, .. } = writer;
        for known in leaving.iter().filter_map(|key| upstreams.get(key)) {
            if known.upstream.leave() {
                workers.retain(|worker| worker.send(known.upstream.clone()).is_ok());
            }
        }
        self.changed.notify_one();
    }

    fn shard_of(&self, host: &str) -> usize {
        shard_of(&self.hasher, host)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shard_of(hasher: &FixedState, host: &str) -> usize {
    // The low bits choose the bucket within a shard, so the high ones choose the shard.
    (hasher.hash_one(host) >> 48) as usize % SHARDS
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
        if known.routes == 1 {
            self.leaving.remove(&(endpoint.instance, endpoint.address));
            known.upstream.enter();
        }
        known.upstream.clone()
    }

    fn release(&mut self, site: &Site) {
        for upstream in &site.upstreams {
            let Some(instance) = upstream.instance else { continue };
            let key = (instance, upstream.address);
            if let Some(known) = self.upstreams.get_mut(&key) {
                known.routes = known.routes.saturating_sub(1);
                if known.routes == 0 {
                    self.leaving.insert(key);
                }
            }
        }
    }

    /// Calls for each upstream that has left with something in flight; forgets the others.
    fn forget_the_drained(&mut self, mut is_draining: impl FnMut(&Key, u32)) {
        let Self { upstreams, leaving, .. } = self;
        leaving.retain(|key| {
            let count = upstreams.get(key).map_or(0, |known| known.upstream.in_flight());
            if count == 0 {
                upstreams.remove(key);
            } else {
                is_draining(key, count);
            }
            count > 0
        });
    }
}
