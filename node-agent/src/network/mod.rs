//! The node's network: one bridge for all instances, and the host's rules that keep projects
//! apart from each other, from the host and from private networks.
//!
//! Order: rules first, then the start. Where the rules cannot be made, nothing starts.

pub mod bridge;
pub mod nft;
pub mod pool;
pub mod rules;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use ipnetwork::{IpNetwork, Ipv4Network};
use zeitwork_model::id::ProjectId;
use zeitwork_model::reason::Reason;
use zeitwork_runtime::failpoint::effect;
use zeitwork_runtime::step;

use crate::container::engine::{Engine, EngineError};
use bridge::Bridge;
use rules::Rules;

/// The rules are compared with what the kernel has this often.
const RECHECK: Duration = Duration::from_secs(5);

/// Making a network takes a busy engine seconds; whoever waits for longer waits for one that hangs.
const ENGINE_LIMIT: Duration = Duration::from_secs(10);

/// Why there is no isolation.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The engine did not do its part.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No part of the pool is free.
    #[error("every part of the network pool {0} is taken; set ZEITWORK_NETWORK_POOL")]
    PoolTaken(Ipv4Network),
    /// A network of our name is not as we make it.
    #[error("the network {0} is not one that this agent made; remove it")]
    Foreign(String),
    /// Packets on one bridge do not pass the host's rules.
    #[error("bridged packets do not pass the firewall: load the module br_netfilter ({0})")]
    BridgeFilterOff(String),
    /// The rules cannot be loaded or read.
    #[error("nft: {0}")]
    Nft(String),
}

/// What the agent knows of its network.
#[derive(Debug)]
pub struct Network {
    bridge: Bridge,
    allow: Vec<IpNetwork>,
    rules: Option<Rules>,
    listing: String,
    checked: Option<Instant>,
    /// Times that the rules were found changed by somebody else.
    pub drift: u64,
}

impl Network {
    /// The network of the bridge, with networks that may be reached although they are private.
    #[must_use]
    pub fn new(bridge: Bridge, allow: Vec<IpNetwork>) -> Self {
        Self { bridge, allow, rules: None, listing: String::new(), checked: None, drift: 0 }
    }

    /// Its bridge.
    #[must_use]
    pub fn bridge(&self) -> &Bridge {
        &self.bridge
    }

    /// Makes the bridge and the rules as they shall be, for these addresses. Cheap while nothing
    /// has changed. Answers whether somebody else had changed the rules.
    ///
    /// # Errors
    /// Then nothing may start.
    pub async fn assert(
        &mut self,
        engine: &Engine,
        addresses: &BTreeMap<Ipv4Addr, ProjectId>,
    ) -> Result<Option<Reason>, NetworkError> {
        let due = self.checked.is_none_or(|time| time.elapsed() >= RECHECK);
        if due || self.bridge.subnet().is_none() {
            let ensured = tokio::time::timeout(ENGINE_LIMIT, self.bridge.ensure(engine)).await;
            ensured.unwrap_or_else(|_| Err(engine.silent().into()))?;
            self.bridge.check_filter()?;
        }
        let rules = Rules {
            table: self.bridge.table(),
            bridge: self.bridge.interface(),
            addresses: addresses.clone(),
            resolvers: resolvers(),
            allow: self.allow.clone(),
        };
        let changed = self.rules.as_ref() != Some(&rules);
        if !changed && !due {
            return Ok(None);
        }
        let mut drifted = false;
        if !changed {
            let listing = nft::list(&rules.table).await.unwrap_or_default();
            drifted = listing != self.listing;
            if !drifted {
                self.checked = Some(Instant::now());
                return Ok(None);
            }
        }
        self.load(rules).await?;
        if !drifted {
            return Ok(None);
        }
        self.drift += 1;
        let text = "the firewall rules of this node had been changed by somebody else; \
                    they were made again";
        Ok(Some(Reason::new("isolation_drifted", text)))
    }

    /// Has the next [`Self::assert`] look at bridge and rules whatever it knows.
    pub fn recheck(&mut self) {
        self.checked = None;
    }

    async fn load(&mut self, rules: Rules) -> Result<(), NetworkError> {
        self.rules = None;
        self.checked = None;
        effect(step!("network.rules"), nft::load(&rules.text())).await?;
        self.listing = nft::list(&rules.table).await?;
        self.rules = Some(rules);
        self.checked = Some(Instant::now());
        Ok(())
    }

    /// The addresses that are isolated now.
    #[must_use]
    pub fn isolated(&self) -> BTreeMap<Ipv4Addr, ProjectId> {
        self.rules.as_ref().map(|rules| rules.addresses.clone()).unwrap_or_default()
    }

    /// Whether the rules know this address as the project's.
    #[must_use]
    pub fn is_isolated(&self, address: Ipv4Addr, project: ProjectId) -> bool {
        let rules = self.rules.as_ref();
        rules.is_some_and(|rules| rules.addresses.get(&address) == Some(&project))
    }

    /// Removes rules and bridge; nothing of ours may run any more.
    ///
    /// # Errors
    /// As the engine and nft say; what is gone already is no error.
    pub async fn remove(&mut self, engine: &Engine) -> Result<(), NetworkError> {
        self.bridge.remove(engine).await?;
        nft::remove(&self.bridge.table()).await?;
        self.rules = None;
        Ok(())
    }
}

/// The host's resolvers: what the engine hands to containers.
fn resolvers() -> Vec<IpAddr> {
    let files = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
    let mut found: Vec<IpAddr> = files
        .iter()
        .filter_map(|path| std::fs::read_to_string(Path::new(path)).ok())
        .flat_map(|text| nameservers(&text))
        .filter(|address| !address.is_loopback())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn nameservers(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok())
        .collect()
}
