//! The bridge that all instances of the node are on, made through the engine.

use std::collections::HashMap;
use std::path::PathBuf;

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use ipnetwork::Ipv4Network;
use zeitwork_runtime::failpoint::effect;
use zeitwork_runtime::step;

use super::NetworkError;
use super::pool::{choose, overlap};
use crate::container::engine::{Engine, EngineError};
use crate::container::labels::Owner;
use crate::disk;

/// Tries to find a free subnet while others take some at the same time.
const TRIES: usize = 8;

/// The bridge of one node.
#[derive(Debug)]
pub struct Bridge {
    name: String,
    tag: u32,
    owner: Owner,
    pool: Ipv4Network,
    remembered: PathBuf,
    subnet: Option<Ipv4Network>,
}

impl Bridge {
    /// The bridge of this owner, with a part of `pool`; which is remembered in the file.
    #[must_use]
    pub fn new(owner: &Owner, pool: Ipv4Network, remembered: PathBuf) -> Self {
        let tag = fnv(&format!("{}/{}", owner.installation, owner.node));
        let name = format!("zw-{}-{}", owner.installation, owner.node);
        Self { name, tag, owner: owner.clone(), pool, remembered, subnet: None }
    }

    /// Name of the engine's network.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name of the interface: at most 15 characters are allowed.
    #[must_use]
    pub fn interface(&self) -> String {
        format!("zw{:08x}", self.tag)
    }

    /// Name of the table with its rules.
    #[must_use]
    pub fn table(&self) -> String {
        format!("zeitwork_{:08x}", self.tag)
    }

    /// Its addresses, once it was found or made.
    #[must_use]
    pub fn subnet(&self) -> Option<Ipv4Network> {
        self.subnet
    }

    /// Finds the network or makes it, with the same subnet as before where that can be had.
    ///
    /// # Errors
    /// As the engine says, or no part of the pool is free.
    pub async fn ensure(&mut self, engine: &Engine) -> Result<(), NetworkError> {
        if let Some(subnet) = self.find(engine).await? {
            if self.subnet != Some(subnet) {
                self.remember(subnet);
            }
            return Ok(());
        }
        self.subnet = None;
        let mut avoid = Vec::new();
        for _ in 0..TRIES {
            let mut taken = taken(engine).await?;
            taken.extend(&avoid);
            let subnet = self.pick(&taken).ok_or(NetworkError::PoolTaken(self.pool))?;
            match effect(step!("network.bridge"), self.create(engine, subnet)).await {
                Ok(()) => {
                    self.remember(subnet);
                    return Ok(());
                }
                // Somebody took an overlapping one meanwhile.
                Err(EngineError::Refused(text)) if text.contains("overlap") => avoid.push(subnet),
                Err(EngineError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(NetworkError::PoolTaken(self.pool))
    }

    /// Remembers the subnet; where the disk takes nothing, until the agent's end.
    fn remember(&mut self, subnet: Ipv4Network) {
        self.subnet = Some(subnet);
        let text = subnet.to_string();
        let kept = std::fs::read_to_string(&self.remembered);
        if kept.is_ok_and(|kept| kept.trim() == text) {
            return;
        }
        if let Err(error) =
            disk::write(step!("network.remember"), &self.remembered, text.as_bytes())
        {
            tracing::warn!(%error, "the network's addresses cannot be remembered");
        }
    }

    /// The one of before if it is free and still of the pool, else another.
    fn pick(&self, taken: &[Ipv4Network]) -> Option<Ipv4Network> {
        let before = std::fs::read_to_string(&self.remembered).ok();
        let before = before.and_then(|text| text.trim().parse::<Ipv4Network>().ok());
        before
            .filter(|subnet| self.pool.contains(subnet.network()))
            .filter(|subnet| taken.iter().all(|other| !overlap(*other, *subnet)))
            .or_else(|| choose(self.pool, taken, self.tag))
    }

    async fn find(&self, engine: &Engine) -> Result<Option<Ipv4Network>, NetworkError> {
        let docker = engine.docker()?;
        let found = match docker.inspect_network(&self.name, None).await {
            Ok(found) => found,
            Err(error) => match engine.error(error) {
                EngineError::Absent(_) => return Ok(None),
                other => return Err(other.into()),
            },
        };
        let labels = found.labels.unwrap_or_default();
        let ours = self.owner.labels().iter().all(|(key, value)| labels.get(key) == Some(value));
        let subnet = subnets(found.ipam).into_iter().next();
        match subnet {
            Some(subnet) if ours => Ok(Some(subnet)),
            _ => Err(NetworkError::Foreign(self.name.clone())),
        }
    }

    async fn create(&self, engine: &Engine, subnet: Ipv4Network) -> Result<(), EngineError> {
        let option =
            |key: &str, value: &str| (format!("com.docker.network.bridge.{key}"), value.to_owned());
        let request = NetworkCreateRequest {
            name: self.name.clone(),
            driver: Some("bridge".to_owned()),
            enable_ipv6: Some(false),
            ipam: Some(Ipam {
                driver: Some("default".to_owned()),
                config: Some(vec![IpamConfig {
                    subnet: Some(subnet.to_string()),
                    ..IpamConfig::default()
                }]),
                options: None,
            }),
            options: Some(HashMap::from([
                option("name", &self.interface()),
                // Should anything ever be published by mistake, then not to the world.
                option("host_binding_ipv4", "127.0.0.1"),
            ])),
            labels: Some(self.owner.labels().into_iter().collect()),
            ..NetworkCreateRequest::default()
        };
        engine.docker()?.create_network(request).await.map_err(|error| engine.error(error))?;
        Ok(())
    }

    /// Checks that packets between two ports of our bridge pass the rules (`br_netfilter`), and
    /// has our bridge pass them where only the global switch is off.
    ///
    /// # Errors
    /// [`NetworkError::BridgeFilterOff`] where they do not.
    pub fn check_filter(&self) -> Result<(), NetworkError> {
        let global = "/proc/sys/net/bridge/bridge-nf-call-iptables";
        let is_on = |path: &str| std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "1");
        if is_on(global) {
            return Ok(());
        }
        let own = format!("/sys/class/net/{}/bridge/nf_call_iptables", self.interface());
        if !is_on(&own) {
            std::fs::write(&own, "1").map_err(|_| NetworkError::BridgeFilterOff(own.clone()))?;
        }
        // Without the module the switch of the bridge has no effect and the global one is absent.
        match std::fs::exists(global) {
            Ok(true) => Ok(()),
            _ => Err(NetworkError::BridgeFilterOff(global.to_owned())),
        }
    }

    /// Removes the network.
    ///
    /// # Errors
    /// As the engine says; one that is gone already is no error.
    pub async fn remove(&mut self, engine: &Engine) -> Result<(), EngineError> {
        self.subnet = None;
        match engine.docker()?.remove_network(&self.name).await.map_err(|e| engine.error(e)) {
            Ok(()) | Err(EngineError::Absent(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Subnets that the engine's networks and the host's routes have.
async fn taken(engine: &Engine) -> Result<Vec<Ipv4Network>, NetworkError> {
    let listed = engine.docker()?.list_networks(None).await.map_err(|error| engine.error(error))?;
    let mut taken: Vec<Ipv4Network> =
        listed.into_iter().flat_map(|network| subnets(network.ipam)).collect();
    let routes = procfs::net::route().unwrap_or_default();
    taken.extend(routes.iter().filter_map(|route| {
        let prefix = u8::try_from(u32::from(route.mask).count_ones()).ok()?;
        // The default route covers everything and takes nothing.
        (prefix > 0).then(|| Ipv4Network::new(route.destination, prefix).ok())?
    }));
    Ok(taken)
}

fn subnets(ipam: Option<Ipam>) -> Vec<Ipv4Network> {
    ipam.and_then(|ipam| ipam.config)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|config| config.subnet?.parse().ok())
        .collect()
}

/// FNV-1a: a short stable name, no secret (<http://www.isthe.com/chongo/tech/comp/fnv/>).
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
