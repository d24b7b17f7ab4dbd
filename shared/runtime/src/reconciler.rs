//! The loop that every reconciler runs in: on a period, and sooner when woken.
//!
//! Level, not edge: a pass learns nothing about why it runs and would reach the same result
//! without any signal. It does not retry inside; the next pass does. Many wake-ups during one
//! pass lead to one more pass.

use std::error::Error;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::lifecycle::{chain, panic_message};
use crate::{Backoff, Clock, Lifecycle};

mod status;
#[cfg(test)]
mod tests;

use status::Record;
pub use status::{LastPass, ReconcilerStatus, Reconcilers};

/// What one pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassReport {
    /// Things looked at.
    pub seen: u64,
    /// Steps carried out.
    pub changed: u64,
    /// Of those, steps that a signal should have told of; in a pass that the period began, all
    /// are.
    pub drift: u64,
    /// Steps that did not succeed and are left to the next pass.
    pub failed: u64,
    /// Things that were told and are not the teller's to tell: not believed.
    pub ignored: u64,
    /// Why things wait, readable by a person; the first [`PassReport::MAXIMUM_REASONS`] are shown.
    pub reasons: Vec<String>,
    /// When there is something to do again, if sooner than the period (a deadline, say).
    pub again_after: Option<Duration>,
}

impl PassReport {
    /// More reasons than this help nobody, and would grow with the installation.
    pub const MAXIMUM_REASONS: usize = 50;

    /// What two parts of a pass did.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.seen += other.seen;
        self.changed += other.changed;
        self.drift += other.drift;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.reasons.extend(other.reasons);
        self.again_after = self.again_after.into_iter().chain(other.again_after).min();
        self
    }
}

/// Keeps one noun of the system right.
pub trait Reconciler: Send + 'static {
    /// The noun, for example `rollouts`; the name in the API, in metrics and in logs.
    const NAME: &'static str;
    /// Why a pass as a whole did not work.
    type Error: Error + Send + Sync + 'static;

    /// Reads the world, plans, carries out. It may be dropped at any await by its time-out.
    fn pass(&mut self) -> impl Future<Output = Result<PassReport, Self::Error>> + Send;
}

/// When passes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// The longest time between the ends of one pass and the beginning of the next.
    pub period: Duration,
    /// A pass that takes longer is dropped and counts as failed.
    pub timeout: Duration,
    /// The shortest time between two passes: signals that come together are one.
    pub gap: Duration,
    /// First and longest ceiling of the back-off after failed passes.
    pub backoff: (Duration, Duration),
}

impl Schedule {
    /// Every `period`; time-out 30 s, gap 2 ms, back-off from 100 ms to 10 s.
    #[must_use]
    pub const fn every(period: Duration) -> Self {
        Self {
            period,
            timeout: Duration::from_secs(30),
            gap: Duration::from_millis(2),
            backoff: (Duration::from_millis(100), Duration::from_secs(10)),
        }
    }

    /// The same with another time-out for each pass.
    #[must_use]
    pub const fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The same with another shortest time between passes.
    #[must_use]
    pub const fn gap(self, gap: Duration) -> Self {
        Self { gap, ..self }
    }
}

/// Says "look again" to one reconciler; cheap to clone, never blocks, never lost.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Asks for a pass. Any number of calls before it begins lead to one.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Runs `reconciler` until the daemon stops; a pass in flight then is finished first.
pub(crate) async fn run<R: Reconciler>(
    mut reconciler: R,
    schedule: Schedule,
    wake: Wake,
    record: Arc<Record>,
    clock: Clock,
    life: Lifecycle,
) {
    let mut backoff = Backoff::new(schedule.backoff.0, schedule.backoff.1);
    // The first pass is due at once and is not drift: nobody looked before.
    let mut periodic = false;
    while !life.is_stopping() {
        let (at, began) = (clock.now(), Instant::now());
        let outcome = guarded_pass(&mut reconciler, schedule.timeout).await;
        if let Err(error) = &outcome {
            let pass_failures = backoff.failures() + 1;
            tracing::warn!(reconciler.name = R::NAME, pass_failures, error, "pass failed");
        }
        let pause = match &outcome {
            Ok(report) => {
                backoff.reset();
                let sooner = report.again_after.filter(|after| *after < schedule.period);
                sooner.map_or(Pause::Period(schedule.period), Pause::Deadline)
            }
            Err(_) => Pause::Whole(backoff.next_delay()),
        };
        record.finish(LastPass::new(at, began.elapsed(), periodic), outcome);
        periodic = tokio::select! {
            () = life.stopping() => return,
            periodic = pause.over(&wake, schedule.gap) => periodic,
        };
    }
}

enum Pause {
    /// Signals end it; else the sweep is due.
    Period(Duration),
    /// Signals end it; else something is due that the last pass knew of, which is no drift.
    Deadline(Duration),
    /// Signals wait until it is over: a flood of them must not defeat the back-off.
    Whole(Duration),
}

impl Pause {
    /// Returns whether the period, and neither a signal nor a known deadline, ended it.
    async fn over(self, wake: &Wake, gap: Duration) -> bool {
        let (delay, is_sweep) = match self {
            Self::Whole(delay) => {
                tokio::time::sleep(delay.max(gap)).await;
                return false;
            }
            Self::Period(delay) => (delay, true),
            Self::Deadline(delay) => (delay, false),
        };
        tokio::time::sleep(gap).await;
        tokio::select! {
            () = wake.0.notified() => false,
            () = tokio::time::sleep(delay.saturating_sub(gap)) => is_sweep,
        }
    }
}

/// One pass with its time-out; a panic is a failed pass, so that one bad row does not take the
/// other reconcilers down with it.
async fn guarded_pass<R: Reconciler>(
    reconciler: &mut R,
    timeout: Duration,
) -> Result<PassReport, String> {
    let pass = AssertUnwindSafe(reconciler.pass()).catch_unwind();
    match tokio::time::timeout(timeout, pass).await {
        Ok(Ok(Ok(report))) => Ok(report),
        Ok(Ok(Err(error))) => Err(chain(&error)),
        Ok(Err(panic)) => Err(panic_message(panic.as_ref())),
        Err(_) => Err(format!("took longer than {} ms", timeout.as_millis())),
    }
}
