//! Figures of the agent for Prometheus; those of single instances are in its reports.

use std::path::{Path, PathBuf};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;
use zeitwork_protocol::report::{BuildOutcome, BuildReport, InstancePhase};
use zeitwork_runtime::lifecycle::Lifecycle;
use zeitwork_web::Metrics;

use crate::instances::Snapshot;
use crate::observe::host::disk;
use crate::report::Contact;

/// Time between two readings.
const PERIOD: Duration = Duration::from_secs(1);
/// Every phase, so that one that nobody is in shows 0.
const PHASES: [(InstancePhase, &str); 8] = [
    (InstancePhase::Waiting, "waiting"),
    (InstancePhase::Starting, "starting"),
    (InstancePhase::Healthy, "healthy"),
    (InstancePhase::Unhealthy, "unhealthy"),
    (InstancePhase::Paused, "paused"),
    (InstancePhase::Stopping, "stopping"),
    (InstancePhase::Stopped, "stopped"),
    (InstancePhase::Failed, "failed"),
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Phase {
    phase: &'static str,
}

/// The gauges.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    instances: Family<Phase, Gauge>,
    builds: Gauge,
    problems: Gauge,
    silence: Gauge,
    disk: Gauge,
    disk_available: Gauge,
}

impl Figures {
    /// Registers the gauges and keeps them up to date until the daemon stops.
    pub fn follow(
        metrics: &Metrics,
        snapshots: watch::Receiver<Snapshot>,
        builds: watch::Receiver<Vec<BuildReport>>,
        contact: Contact,
        directory: PathBuf,
        life: &Lifecycle,
    ) {
        let figures = Self::default();
        metrics.register(|registry| {
            let all = figures.instances.clone();
            registry.register("node_instances", "Instances of this node by phase", all);
            registry.register("node_builds", "Builds that run", figures.builds.clone());
            let problems = figures.problems.clone();
            registry.register("node_problems", "What keeps the node from working", problems);
            let silence = figures.silence.clone();
            registry.register("node_report_age_seconds", "Since the last report", silence);
            let disk = figures.disk.clone();
            registry.register("node_disk_bytes", "Size of the state's disk", disk);
            let available = figures.disk_available.clone();
            registry.register("node_disk_available_bytes", "What is free of it", available);
        });
        let stop = life.clone();
        life.spawn("figures", async move {
            loop {
                figures.take(&snapshots.borrow(), &builds.borrow(), &contact);
                figures.take_disk(&directory);
                tokio::select! {
                    () = stop.stopping() => return,
                    () = tokio::time::sleep(PERIOD) => {}
                }
            }
        });
    }

    fn take_disk(&self, directory: &Path) {
        let (size, available) = disk(directory).unwrap_or_default();
        self.disk.set(i64::try_from(size).unwrap_or(i64::MAX));
        self.disk_available.set(i64::try_from(available).unwrap_or(i64::MAX));
    }

    fn take(&self, snapshot: &Snapshot, builds: &[BuildReport], contact: &Contact) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        for (phase, word) in PHASES {
            let here = snapshot.instances.iter().filter(|(report, _)| report.phase == phase);
            self.instances.get_or_create(&Phase { phase: word }).set(count(here.count()));
        }
        let runs = |build: &&BuildReport| matches!(build.outcome, BuildOutcome::Running { .. });
        self.builds.set(count(builds.iter().filter(runs).count()));
        self.problems.set(count(snapshot.problems.len()));
        self.silence.set(i64::try_from(contact.silence().as_secs()).unwrap_or(i64::MAX));
    }
}
