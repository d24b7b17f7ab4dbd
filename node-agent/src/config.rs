//! The agent's settings.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnetwork::{IpNetwork, Ipv4Network};
use zeitwork_outbound::HostPort;
use zeitwork_runtime::config::{Common, ConfigError, Settings};

/// Where instances get addresses when nothing is said.
const POOL: &str = "10.213.0.0/16";

/// What the agent is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of this node: lower-case letters, digits and hyphens.
    pub name: String,
    /// Directory of this node's own files.
    pub directory: PathBuf,
    /// File of the private key; made on first start.
    pub key_file: PathBuf,
    /// `unix://…` of Docker Engine.
    pub docker_host: String,
    /// The bridge takes a part of it.
    pub pool: Ipv4Network,
    /// Private networks that builds and instances may reach.
    pub egress_allow: Vec<IpNetwork>,
    /// Bytes that must be free before a build begins.
    pub disk_floor: u64,
    /// `host:port` pairs that may be cloned over plain HTTP.
    pub insecure_hosts: Vec<HostPort>,
    /// Where health and metrics are served.
    pub addresses: Vec<SocketAddr>,
}

impl Config {
    /// Reads it; mistakes are noted in the settings.
    ///
    /// # Errors
    /// The first mistake; [`Settings::finish`] tells all.
    pub fn read(settings: &Settings) -> Result<Self, ConfigError> {
        let common = Common::read(settings);
        let name = settings.default("ZEITWORK_NODE_NAME", host_name());
        let key_file = settings.optional::<PathBuf>("ZEITWORK_NODE_KEY_FILE");
        let docker_host = settings.required::<String>("DOCKER_HOST");
        let pool = settings.optional::<Ipv4Network>("ZEITWORK_NETWORK_POOL");
        let egress_allow = settings.list("ZEITWORK_EGRESS_ALLOW");
        let disk_floor_mb = settings.required::<u64>("ZEITWORK_BUILD_DISK_FLOOR_MB");
        let insecure_hosts = settings.list("ZEITWORK_GIT_INSECURE_HOSTS");
        let addresses = settings.list("ZEITWORK_NODE_ADDRESS");
        let name = name?;
        if !is_name(&name) {
            let text = "a node's name has 1 to 63 lower-case letters, digits and hyphens";
            return Err(settings.note("ZEITWORK_NODE_NAME", text).into());
        }
        let docker_host = docker_host?;
        if !docker_host.starts_with("unix://") {
            let text = "the engine is reached over its socket: unix:///path";
            return Err(settings.note("DOCKER_HOST", text).into());
        }
        let directory = common?.state_dir.join("node");
        let pool = match pool? {
            Some(pool) => pool,
            None => POOL.parse().map_err(|_| settings.note("ZEITWORK_NETWORK_POOL", "unusable"))?,
        };
        Ok(Self {
            key_file: key_file?.unwrap_or_else(|| directory.join(format!("{name}.key"))),
            name,
            directory,
            docker_host,
            pool,
            egress_allow: egress_allow?,
            disk_floor: disk_floor_mb?.saturating_mul(1_000_000),
            insecure_hosts: insecure_hosts?,
            addresses: addresses?,
        })
    }

    /// A file of this node.
    #[must_use]
    pub fn file(&self, what: &str) -> PathBuf {
        self.directory.join(format!("{}.{what}", self.name))
    }

    /// Names of all nodes that ran from this directory.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".installation").map(str::to_owned)
        });
        names.collect()
    }

    /// The engine's socket.
    #[must_use]
    pub fn engine_socket(&self) -> PathBuf {
        self.docker_host.trim_start_matches("unix://").into()
    }
}

/// The host's name as a node's name.
fn host_name() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let label = text.trim().split('.').next().unwrap_or_default().to_ascii_lowercase();
    let name: String = label
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .take(63)
        .collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "node".to_owned() } else { name.to_owned() }
}

fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len())
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
