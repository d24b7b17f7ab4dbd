//! Drives the builds of the target: one task for each attempt, cancelled when the target no
//! longer lists it or the lease cannot be renewed. How to build is the business of `build`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use zeitwork_model::id::BuildId;
use zeitwork_model::reason::Reason;
use zeitwork_protocol::report::{BuildOutcome, BuildReport};
use zeitwork_protocol::target::{BuildTarget, NodeTarget};
use zeitwork_runtime::failpoint::effect;
use zeitwork_runtime::lifecycle::Lifecycle;
use zeitwork_runtime::step;

use crate::build::{BuildParts, BuildStep, build, problem};
use crate::logs::ship::Shipping;
use crate::report::Contact;

/// Time between two looks at the lease.
const PERIOD: Duration = Duration::from_millis(500);
/// A lease that was not renewed for so long is lost: the operator may give it to another node.
const LEASE: Duration = Duration::from_secs(15);

/// Time between two looks at whether builds can be limited.
const PROBE: Duration = Duration::from_secs(10);

/// One attempt at one build.
type Attempt = (BuildId, i32);
/// An attempt, and what it is at or how it ended.
type Told = (Attempt, BuildOutcome);

/// An attempt that runs, or ran and is still listed.
#[derive(Debug)]
struct Entry {
    cancel: CancellationToken,
    outcome: BuildOutcome,
    running: bool,
    lease_lost: bool,
}

/// The builds of the node.
#[derive(Debug)]
pub struct Builds {
    parts: Arc<BuildParts>,
    targets: watch::Receiver<Option<Arc<NodeTarget>>>,
    contact: Contact,
    logs: Shipping,
    life: Lifecycle,
    entries: BTreeMap<Attempt, Entry>,
    reports: watch::Sender<Vec<BuildReport>>,
    problem: watch::Sender<Option<Reason>>,
    told: (mpsc::UnboundedSender<Told>, mpsc::UnboundedReceiver<Told>),
}

impl Builds {
    /// The driver, and where it shows what it does.
    #[must_use]
    pub fn new(
        parts: BuildParts,
        targets: watch::Receiver<Option<Arc<NodeTarget>>>,
        contact: Contact,
        logs: Shipping,
        life: Lifecycle,
    ) -> (Self, watch::Receiver<Vec<BuildReport>>) {
        let (reports, seen) = watch::channel(Vec::new());
        let problem = watch::Sender::new(None);
        let parts = Arc::new(parts);
        let (entries, told) = (BTreeMap::new(), mpsc::unbounded_channel());
        (Self { parts, targets, contact, logs, life, entries, reports, problem, told }, seen)
    }

    /// What keeps this node from building.
    #[must_use]
    pub fn problem(&self) -> watch::Receiver<Option<Reason>> {
        self.problem.subscribe()
    }

    /// Runs until the daemon stops; builds are cancelled then.
    pub async fn run(mut self) {
        let life = self.life.clone();
        let probing = probe(Arc::clone(&self.parts), self.problem.clone(), life.clone());
        life.spawn_detached("build limits", probing);
        loop {
            let target = self.targets.borrow_and_update().clone();
            self.follow(target.as_ref().map_or(&[], |target| target.builds.as_slice()));
            self.publish();
            tokio::select! {
                () = life.stopping() => break,
                Ok(()) = self.targets.changed() => {}
                Some((attempt, outcome)) = self.told.1.recv() => self.take(attempt, outcome),
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
        for entry in self.entries.values() {
            entry.cancel.cancel();
        }
    }

    fn follow(&mut self, listed: &[BuildTarget]) {
        let lost = self.contact.silence() > LEASE;
        for (attempt, entry) in &mut self.entries {
            let wanted = listed.iter().any(|target| (target.id, target.attempt) == *attempt);
            if entry.running && (lost || !wanted) {
                entry.lease_lost |= lost;
                entry.cancel.cancel();
            }
        }
        self.entries.retain(|attempt, entry| {
            entry.running || listed.iter().any(|target| (target.id, target.attempt) == *attempt)
        });
        for target in listed {
            // Without the lease nothing is begun; the next report may bring it back.
            if !lost && !self.entries.contains_key(&(target.id, target.attempt)) {
                self.begin(target.clone());
            }
        }
    }

    fn begin(&mut self, target: BuildTarget) {
        let attempt = (target.id, target.attempt);
        let cancel = CancellationToken::new();
        let entry = Entry {
            cancel: cancel.clone(),
            outcome: at(BuildStep::Checkout),
            running: true,
            lease_lost: false,
        };
        self.entries.insert(attempt, entry);
        let (parts, told) = (Arc::clone(&self.parts), self.told.0.clone());
        let log = self.logs.build(target.id);
        tracing::info!(build.id = %target.id, build.attempt = target.attempt, "build begins");
        self.life.spawn_detached("build", async move {
            // Nobody listens any more once the daemon stops.
            let tell = |outcome| drop(told.send((attempt, outcome)));
            let tell_step = |step| tell(at(step));
            let building = Box::pin(build(&target, &parts, &log, &tell_step, cancel));
            tell(effect(step!("builds.build"), building).await);
        });
    }

    fn take(&mut self, attempt: Attempt, outcome: BuildOutcome) {
        if matches!(outcome, BuildOutcome::Running { .. }) {
            self.entries.entry(attempt).and_modify(|entry| entry.outcome = outcome);
            return;
        }
        tracing::info!(build.id = %attempt.0, build.attempt = attempt.1, ?outcome, "build ended");
        let Some(entry) = self.entries.get_mut(&attempt) else { return };
        entry.running = false;
        entry.outcome = if entry.lease_lost {
            let text = "the node lost contact with the database while it built";
            BuildOutcome::Lost { reason: Reason::new("lease_lost", text) }
        } else {
            outcome
        };
    }

    fn publish(&self) {
        let report = |((id, attempt), entry): (&Attempt, &Entry)| BuildReport {
            id: *id,
            attempt: *attempt,
            outcome: entry.outcome.clone(),
        };
        let reports: Vec<BuildReport> = self.entries.iter().map(report).collect();
        self.reports.send_if_modified(|known| {
            let changed = *known != reports;
            if changed {
                *known = reports;
            }
            changed
        });
    }
}

fn at(step: BuildStep) -> BuildOutcome {
    BuildOutcome::Running { step: step.as_str().to_owned() }
}

/// Tells whether builds can be limited, until the daemon stops.
async fn probe(parts: Arc<BuildParts>, told: watch::Sender<Option<Reason>>, life: Lifecycle) {
    loop {
        let problem = problem(&parts).await;
        told.send_if_modified(|known| {
            let changed = *known != problem;
            if let (true, Some(problem)) = (changed, &problem) {
                tracing::error!(reason = problem.text, "builds wait");
            }
            *known = problem;
            changed
        });
        tokio::select! {
            () = life.stopping() => return,
            () = tokio::time::sleep(PROBE) => {}
        }
    }
}
