//! What a container of ours is: a closed structure, and the one place that turns it into the
//! engine's words, at creation and for updates. Whatever cannot be said here, no project can get:
//! privileges, host namespaces, binds, devices, published ports.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use bollard::models::{
    ContainerCreateBody, ContainerUpdateBody, EndpointIpamConfig, EndpointSettings, HostConfig,
    HostConfigLogConfig, NetworkingConfig, RestartPolicy, RestartPolicyNameEnum,
};
use zeitwork_model::environment::Limits;
use zeroize::Zeroizing;

/// What images commonly need to change to their user and to bind low ports; raw sockets, device
/// nodes and the rest of Docker's default set are not among it.
const CAPABILITIES: [&str; 7] =
    ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];
/// Processes and threads of one instance: enough for a JVM, too few for a fork bomb.
const PIDS: i64 = 1024;
/// Microseconds of the kernel's CPU accounting period.
const CPU_PERIOD_US: i64 = 100_000;
/// The kernel refuses quotas below this.
const LEAST_QUOTA_US: i64 = 1_000;
/// The engine refuses containers with less memory.
const LEAST_MEMORY_MB: u32 = 6;
/// Under memory pressure of the whole host instances go before its daemons.
const OOM_SCORE: i64 = 500;

/// One container of ours.
#[derive(Debug, Clone)]
pub struct Specification {
    /// The container's name.
    pub name: String,
    /// Its own name for itself.
    pub hostname: String,
    /// The image, by the engine's id.
    pub image: String,
    /// Replaces the image's command; empty: as the image says.
    pub command: Vec<String>,
    /// Environment variables.
    pub environment: BTreeMap<String, Zeroizing<String>>,
    /// Labels, ours only.
    pub labels: BTreeMap<String, String>,
    /// The one network that it joins.
    pub network: String,
    /// Its address there.
    pub address: Ipv4Addr,
    /// Its names there.
    pub names: Vec<String>,
    /// What it may use in the end.
    pub limits: Limits,
    /// Cores of the host: its CPU quota until it is healthy.
    pub cores: u32,
}

impl Specification {
    /// The engine's request that creates it.
    #[must_use]
    pub fn create_body(&self) -> ContainerCreateBody {
        let environment =
            self.environment.iter().map(|(name, value)| format!("{name}={}", value.as_str()));
        ContainerCreateBody {
            hostname: Some(self.hostname.clone()),
            image: Some(self.image.clone()),
            cmd: (!self.command.is_empty()).then(|| self.command.clone()),
            env: Some(environment.collect()),
            labels: Some(self.labels.clone().into_iter().collect()),
            host_config: Some(self.host_config()),
            networking_config: Some(NetworkingConfig {
                endpoints_config: Some(HashMap::from([(self.network.clone(), self.endpoint())])),
            }),
            ..ContainerCreateBody::default()
        }
    }

    fn host_config(&self) -> HostConfig {
        let memory = memory_bytes(self.limits);
        HostConfig {
            network_mode: Some(self.network.clone()),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
            security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
            privileged: Some(false),
            ipc_mode: Some("private".to_owned()),
            init: Some(true),
            memory: Some(memory),
            memory_swap: Some(memory),
            oom_score_adj: Some(OOM_SCORE),
            pids_limit: Some(PIDS),
            cpu_period: Some(CPU_PERIOD_US),
            cpu_quota: Some(starting_quota(self.limits, self.cores)),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(HashMap::from([
                    ("max-size".to_owned(), "16m".to_owned()),
                    ("max-file".to_owned(), "2".to_owned()),
                ])),
            }),
            publish_all_ports: Some(false),
            ..HostConfig::default()
        }
    }

    fn endpoint(&self) -> EndpointSettings {
        EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: Some(self.address.to_string()),
                ..EndpointIpamConfig::default()
            }),
            aliases: Some(self.names.clone()),
            ..EndpointSettings::default()
        }
    }
}

/// The engine's request that gives a healthy instance its real CPU quota; nothing else of a
/// container ever changes.
#[must_use]
pub fn settle_body(limits: Limits) -> ContainerUpdateBody {
    ContainerUpdateBody {
        cpu_period: Some(CPU_PERIOD_US),
        cpu_quota: Some(settled_quota(limits)),
        ..ContainerUpdateBody::default()
    }
}

/// The CPU quota of an instance that is healthy.
#[must_use]
pub fn settled_quota(limits: Limits) -> i64 {
    (i64::from(limits.cpu_millis) * CPU_PERIOD_US / 1_000).max(LEAST_QUOTA_US)
}

/// The CPU quota of an instance that is starting: a small quota would make a start that takes
/// 70 ms of CPU take a third of a second.
fn starting_quota(limits: Limits, cores: u32) -> i64 {
    settled_quota(limits).max(i64::from(cores.max(1)) * CPU_PERIOD_US)
}

fn memory_bytes(limits: Limits) -> i64 {
    i64::from(limits.memory_mb.max(LEAST_MEMORY_MB)) * 1024 * 1024
}
