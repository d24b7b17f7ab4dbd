//! What a node says of itself.

use ipnetwork::Ipv4Network;
use serde::{Deserialize, Serialize};
use zeitwork_model::generation::Position;
use zeitwork_model::id::{BuildId, InstanceId};
use zeitwork_model::reason::Reason;

/// The whole truth of one node, as it is now; never a difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Version of the writer.
    pub version: u32,
    /// Oldest reader that can follow it.
    pub minimum_reader: u32,
    /// The target that the node works on; absent before its first.
    pub applied: Option<Position>,
    /// The host.
    pub host: HostReport,
    /// Every instance that the node has, or gave up.
    pub instances: Vec<InstanceReport>,
    /// Every build that it runs, or ran and the target still lists.
    pub builds: Vec<BuildReport>,
    /// Images of ours on its engine, when they were listed last.
    pub images: Vec<ImageReport>,
    /// Milliseconds since that listing was asked for; absent before the first, and of agents that do
    /// not say so: then nothing is known of what the engine lacks.
    #[serde(default)]
    pub images_listed_ms_ago: Option<u64>,
    /// What keeps it from working as it should (engine away, isolation missing, disk low).
    pub problems: Vec<Reason>,
}

/// The host and what it offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// Version of the agent.
    pub agent_version: String,
    /// Version of Docker Engine; empty while it does not answer.
    pub engine_version: String,
    /// Kernel release.
    pub kernel: String,
    /// Instances get addresses of it; absent until the node has made its network.
    pub subnet: Option<Ipv4Network>,
    /// Cores.
    pub cores: u32,
    /// Bytes of memory in all.
    pub memory_bytes: u64,
    /// Bytes of memory that could be had now.
    pub memory_available_bytes: u64,
    /// Thousandths of a core used since the report before.
    pub cpu_millis: u32,
    /// Load of the last minute.
    pub load1: f64,
    /// Bytes of the disk that holds images and checkouts.
    pub disk_bytes: u64,
    /// Bytes free on it.
    pub disk_available_bytes: u64,
    /// Bytes received by the host since its boot.
    pub network_received_bytes: u64,
    /// Bytes sent by the host since its boot.
    pub network_sent_bytes: u64,
}

/// Where an instance really is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstancePhase {
    /// Not started yet (queued behind other starts, image missing, waiting to start again).
    Waiting,
    /// Runs, has not passed its check since this start.
    Starting,
    /// Runs and passes its check.
    Healthy,
    /// Runs, was healthy, fails its check.
    Unhealthy,
    /// Frozen.
    Paused,
    /// SIGTERM was sent.
    Stopping,
    /// Is gone and stays so, as its goal says.
    Stopped,
    /// Is gone or was given up against its goal; the reason says why.
    Failed,
    /// A phase that this reader does not know.
    #[serde(other)]
    Unknown,
}

/// One instance as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceReport {
    /// The instance.
    pub id: InstanceId,
    /// Where it is.
    pub phase: InstancePhase,
    /// Why it is not healthy, last time it was not.
    pub reason: Option<Reason>,
    /// Starts after the first.
    pub restarts: u32,
    /// Of its last end.
    pub exit_code: Option<i32>,
    /// Whether its last end was for lack of memory.
    pub oom_killed: bool,
    /// What it uses; absent while it does not run.
    pub usage: Option<Usage>,
}

/// What one instance uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Thousandths of a core since the report before.
    pub cpu_millis: u32,
    /// CPU time since its start, in microseconds.
    pub cpu_total_us: u64,
    /// Bytes of memory without reclaimable page cache.
    pub memory_bytes: u64,
    /// Bytes received since its start.
    pub network_received_bytes: u64,
    /// Bytes sent since its start.
    pub network_sent_bytes: u64,
    /// Processes and threads.
    pub pids: u32,
}

/// One build as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildReport {
    /// The build.
    pub id: BuildId,
    /// The attempt that this is about.
    pub attempt: i32,
    /// How far it is.
    #[serde(flatten)]
    pub outcome: BuildOutcome,
}

/// How far a build is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum BuildOutcome {
    /// At work. The report itself renews the lease.
    Running {
        /// `checkout`, `base`, `build`, `export`.
        step: String,
    },
    /// The image exists on this node.
    Succeeded {
        /// Its id on this engine.
        image: String,
        /// Its size.
        size_bytes: u64,
        /// `linux/amd64`, …
        platform: String,
        /// TCP ports that it exposes, ascending.
        exposed_ports: Vec<u16>,
    },
    /// It cannot be built; another attempt would end the same way.
    Failed {
        /// Why.
        reason: Reason,
    },
    /// This node could not (engine away, network away); another attempt may do.
    Lost {
        /// Why.
        reason: Reason,
    },
}

/// One image of ours on the node's engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageReport {
    /// Its id on this engine (`sha256:…`).
    pub image: String,
    /// Its size in bytes.
    pub size_bytes: u64,
}
