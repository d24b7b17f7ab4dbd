//! What the reconcilers of a daemon last did, for `GET /system/reconcilers` and metrics.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use super::{PassReport, Reconciler, Schedule, Wake, run};
use crate::{Clock, Lifecycle};

/// The latest pass of a reconciler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastPass {
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// How long it took.
    pub duration_ms: u64,
    /// Did the period, and not a signal, start it?
    pub periodic: bool,
    /// Things looked at.
    pub seen: u64,
    /// Steps carried out.
    pub changed: u64,
    /// Steps left to the next pass.
    pub failed: u64,
    /// Why things wait.
    pub reasons: Vec<String>,
}

impl LastPass {
    pub(super) fn new(at: OffsetDateTime, duration: Duration, periodic: bool) -> Self {
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let reasons = Vec::new();
        Self { at, duration_ms, periodic, seen: 0, changed: 0, failed: 0, reasons }
    }
}

/// What a reconciler has done since the daemon started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReconcilerStatus {
    /// Its noun.
    pub name: String,
    /// Passes that worked.
    pub passes_total: u64,
    /// Passes that did not.
    pub failures_total: u64,
    /// Failed passes since the last that worked; 0 is well.
    pub failures_in_a_row: u64,
    /// Steps carried out.
    pub changed_total: u64,
    /// Steps that only the periodic sweep found: a signal was lost.
    pub drift_found_total: u64,
    /// Things that were told and not believed.
    pub ignored_total: u64,
    /// The latest pass; none before the first has ended.
    pub last_pass: Option<LastPass>,
    /// The latest failure, kept after recovery.
    pub last_error: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Record {
    status: Mutex<ReconcilerStatus>,
    wake: Wake,
}

impl Record {
    pub(super) fn finish(&self, mut pass: LastPass, outcome: Result<PassReport, String>) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(report) => {
                status.passes_total += 1;
                status.failures_in_a_row = 0;
                status.changed_total += report.changed;
                status.ignored_total += report.ignored;
                status.drift_found_total +=
                    if pass.periodic { report.changed } else { report.drift };
                pass.seen = report.seen;
                pass.changed = report.changed;
                pass.failed = report.failed;
                pass.reasons = report.reasons;
                pass.reasons.truncate(PassReport::MAXIMUM_REASONS);
            }
            Err(error) => {
                status.failures_total += 1;
                status.failures_in_a_row += 1;
                status.last_error = Some(error);
            }
        }
        status.last_pass = Some(pass);
    }
}

/// The reconcilers of one daemon; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reconcilers {
    records: Arc<Mutex<Vec<Arc<Record>>>>,
    clock: Clock,
}

impl Reconcilers {
    /// None yet; `clock` stamps the passes.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, ..Self::default() }
    }

    /// Starts a reconciler; its first pass begins at once.
    pub fn spawn<R: Reconciler>(&self, life: &Lifecycle, it: R, schedule: Schedule) -> Wake {
        let wake = Wake::default();
        self.spawn_with(life, it, schedule, wake.clone());
        wake
    }

    /// The same with a [`Wake`] made before, for reconcilers that wake each other.
    pub fn spawn_with<R: Reconciler>(
        &self,
        life: &Lifecycle,
        reconciler: R,
        schedule: Schedule,
        wake: Wake,
    ) {
        let status = ReconcilerStatus { name: R::NAME.to_owned(), ..ReconcilerStatus::default() };
        let record = Arc::new(Record { status: Mutex::new(status), wake: wake.clone() });
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
        let running = run(reconciler, schedule, wake, record, self.clock.clone(), life.clone());
        life.spawn(format!("reconciler {}", R::NAME), running);
    }

    /// What each has done, in the order in which they were started.
    #[must_use]
    pub fn statuses(&self) -> Vec<ReconcilerStatus> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let status = |record: &Arc<Record>| {
            record.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        records.iter().map(status).collect()
    }

    /// Asks all to look again: what to do after a connection for signals was lost.
    pub fn wake_all(&self) {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().for_each(|record| record.wake.wake());
    }
}
