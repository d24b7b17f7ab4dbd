//! What the node says of itself: once a second, and at once when anything but figures changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use zeitwork_database::{Database, node_reports};
use zeitwork_model::reason::Reason;
use zeitwork_protocol::VERSION;
use zeitwork_protocol::report::{BuildReport, NodeReport};
use zeitwork_runtime::failpoint::effect;
use zeitwork_runtime::lifecycle::{Lifecycle, chain};
use zeitwork_runtime::step;

use crate::instances::Snapshot;
use crate::observe::Sampler;
use crate::observe::host::Host;

/// Time between two reports when nothing happens.
const PERIOD: Duration = Duration::from_secs(1);
/// Changes within this time go out as one report.
const COALESCE: Duration = Duration::from_millis(5);
/// A report that is not written within this time is given up for the next.
const LIMIT: Duration = Duration::from_secs(5);
/// Less free disk than this in the state directory, and what the agent keeps there may be lost.
const LEAST_DISK: u64 = 64 << 20;

/// When the last report was written: what a lease hangs on.
#[derive(Debug, Clone)]
pub struct Contact {
    began: Instant,
    last_ms: Arc<AtomicU64>,
}

impl Default for Contact {
    fn default() -> Self {
        Self { began: Instant::now(), last_ms: Arc::default() }
    }
}

impl Contact {
    /// A report was written now.
    pub fn made(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }

    /// For how long none was written.
    #[must_use]
    pub fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(last)
    }
}

/// Puts reports together and writes them.
#[derive(Debug)]
pub struct Reporter {
    /// Where to.
    pub database: Database,
    /// The instances.
    pub snapshots: watch::Receiver<Snapshot>,
    /// The builds.
    pub builds: watch::Receiver<Vec<BuildReport>>,
    /// What keeps the node from building.
    pub build_problem: watch::Receiver<Option<Reason>>,
    /// The host.
    pub host: Host,
    /// Told of each report that was written.
    pub contact: Contact,
}

impl Reporter {
    /// Reports until the daemon stops.
    pub async fn run(mut self, life: Lifecycle) {
        let mut sampler = Sampler::default();
        let mut told: Option<NodeReport> = None;
        let mut was_away = false;
        loop {
            let report = self.compose(&mut sampler);
            let urgent = told.as_ref().is_none_or(|told| differs(told, &report));
            match tokio::time::timeout(LIMIT, self.write(&report, urgent)).await {
                Ok(Ok(())) => {
                    self.contact.made();
                    told = Some(report);
                    was_away = false;
                }
                Ok(Err(error)) if !was_away => {
                    was_away = true;
                    tracing::warn!(error = chain(&error), "the report is not written");
                }
                Err(_) if !was_away => {
                    was_away = true;
                    tracing::warn!("the report is not written in time");
                }
                Ok(Err(_)) | Err(_) => {}
            }
            tokio::select! {
                () = life.stopping() => return,
                () = tokio::time::sleep(PERIOD) => {}
                changed = self.changed(told.as_ref()) => if !changed { return },
            }
        }
    }

    async fn write(&self, report: &NodeReport, urgent: bool) -> zeitwork_database::Result<()> {
        let mut connection = self.database.acquire().await?;
        let writing = node_reports::write(&mut connection, report, urgent);
        effect(step!("report.write"), writing).await
    }

    /// Waits until something is worth a report at once; false where nothing can come any more.
    async fn changed(&mut self, told: Option<&NodeReport>) -> bool {
        loop {
            let alive = tokio::select! {
                changed = self.snapshots.changed() => changed.is_ok(),
                changed = self.builds.changed() => changed.is_ok(),
                changed = self.build_problem.changed() => changed.is_ok(),
            };
            if !alive {
                return false;
            }
            tokio::time::sleep(COALESCE).await;
            let snapshot = self.snapshots.borrow_and_update().clone();
            let builds = self.builds.borrow_and_update().clone();
            let new = match told {
                Some(told) => {
                    let mut bare =
                        bare(&snapshot, builds, NodeReport { instances: vec![], ..told.clone() });
                    bare.problems.extend(self.build_problem.borrow_and_update().clone());
                    differs(told, &bare)
                }
                None => true,
            };
            if new {
                return true;
            }
        }
    }

    fn compose(&mut self, sampler: &mut Sampler) -> NodeReport {
        let snapshot = self.snapshots.borrow_and_update().clone();
        let builds = self.builds.borrow_and_update().clone();
        let host = self.host.read();
        let frame = NodeReport {
            version: VERSION,
            minimum_reader: 1,
            applied: None,
            host,
            instances: Vec::new(),
            builds: Vec::new(),
            images: Vec::new(),
            images_listed_ms_ago: None,
            problems: Vec::new(),
        };
        let mut report = bare(&snapshot, builds, frame);
        report.problems.extend(self.build_problem.borrow_and_update().clone());
        for (instance, (_, pid)) in report.instances.iter_mut().zip(&snapshot.instances) {
            instance.usage = sampler.sample(instance.id, *pid);
        }
        let known: Vec<_> = report.instances.iter().map(|instance| instance.id).collect();
        sampler.keep(&known);
        report
    }
}

/// The report without usage, in the frame's host.
fn bare(snapshot: &Snapshot, builds: Vec<BuildReport>, mut frame: NodeReport) -> NodeReport {
    frame.applied = snapshot.applied;
    frame.host.subnet = snapshot.subnet;
    frame.host.engine_version.clone_from(&snapshot.engine_version);
    frame.instances = snapshot.instances.iter().map(|(report, _)| report.clone()).collect();
    frame.builds = builds;
    frame.images.clone_from(&snapshot.images);
    frame.images_listed_ms_ago = snapshot
        .images_listed_at
        .map(|asked| u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX));
    frame.problems.clone_from(&snapshot.problems);
    if frame.host.disk_available_bytes < LEAST_DISK {
        let text = "the disk of the agent's state directory is full; make room: until then its \
                    last target may not outlive a restart";
        frame.problems.push(Reason::new("state_disk_low", text));
    }
    frame
}

/// Whether anything but figures differs.
fn differs(a: &NodeReport, b: &NodeReport) -> bool {
    let instances = |report: &NodeReport| {
        let bare = report.instances.iter().cloned().map(|mut instance| {
            instance.usage = None;
            instance
        });
        bare.collect::<Vec<_>>()
    };
    a.applied != b.applied
        || a.host.subnet != b.host.subnet
        || a.host.engine_version != b.host.engine_version
        || a.builds != b.builds
        || a.images != b.images
        || a.problems != b.problems
        || instances(a) != instances(b)
}
