//! Whether an instance can serve: real HTTP or TCP checks from the agent to its address.

pub mod check;
pub mod diagnose;

#[cfg(test)]
mod tests;

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use zeitwork_model::environment::HealthCheck;
use zeitwork_model::id::InstanceId;
use zeitwork_model::reason::Reason;

/// Failures in a row that make a healthy instance unhealthy.
const THRESHOLD: u32 = 3;
/// Time between checks in the first second: most instances are ready within it.
const FAST: Duration = Duration::from_millis(20);
/// Time between checks until healthy.
const SEEKING: Duration = Duration::from_millis(100);
/// Looking for the cause of a failure costs more than the check.
const DIAGNOSE_EVERY: Duration = Duration::from_millis(500);

/// What is checked: one start of one instance.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The instance.
    pub instance: InstanceId,
    /// The start, in the engine's words.
    pub start: String,
    /// Where it should answer.
    pub address: SocketAddrV4,
    /// A process of it, to see what it listens on.
    pub pid: i32,
    /// How it is checked.
    pub check: HealthCheck,
    /// Whether it was healthy when last seen (an agent that was restarted).
    pub healthy: bool,
}

/// A changed verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The instance.
    pub instance: InstanceId,
    /// The start that this is about.
    pub start: String,
    /// Passes, or why not.
    pub outcome: Result<(), Reason>,
}

/// Turns single checks into a verdict: one success makes healthy, [`THRESHOLD`] failures in a
/// row make a healthy one unhealthy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judge {
    healthy: bool,
    failures: u32,
    told: Option<Result<(), Reason>>,
}

impl Judge {
    /// A judge of an instance that was last seen healthy, or not.
    #[must_use]
    pub fn new(healthy: bool) -> Self {
        Self { healthy, ..Self::default() }
    }

    /// Whether it is healthy.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// The verdict after one more check, where it differs from the one before.
    pub fn after(&mut self, outcome: Result<(), Reason>) -> Option<Result<(), Reason>> {
        match outcome {
            Ok(()) => {
                self.healthy = true;
                self.failures = 0;
            }
            Err(_) if self.healthy && self.failures + 1 < THRESHOLD => {
                self.failures += 1;
                return None;
            }
            Err(_) => self.healthy = false,
        }
        if self.told.as_ref() == Some(&outcome) {
            return None;
        }
        self.told = Some(outcome.clone());
        Some(outcome)
    }
}

/// Checks until it is dropped, or nobody listens any more.
pub async fn watch(probe: Probe, verdicts: mpsc::Sender<Verdict>) {
    let began = Instant::now();
    let mut judge = Judge::new(probe.healthy);
    let mut diagnosed: Option<(Instant, Reason)> = None;
    loop {
        let mut outcome = check::check(probe.address, &probe.check).await;
        if let Err(reason) = &mut outcome {
            if reason.code == check::REFUSED {
                *reason = cause(&probe, &mut diagnosed);
            }
        } else {
            diagnosed = None;
        }
        if let Some(outcome) = judge.after(outcome) {
            let (instance, start) = (probe.instance, probe.start.clone());
            if verdicts.send(Verdict { instance, start, outcome }).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(pause(&judge, began.elapsed(), &probe.check)).await;
    }
}

fn cause(probe: &Probe, diagnosed: &mut Option<(Instant, Reason)>) -> Reason {
    if let Some((time, reason)) = diagnosed
        && time.elapsed() < DIAGNOSE_EVERY
    {
        return reason.clone();
    }
    let reason = diagnose::refused(probe.pid, probe.address.port());
    *diagnosed = Some((Instant::now(), reason.clone()));
    reason
}

fn pause(judge: &Judge, elapsed: Duration, check: &HealthCheck) -> Duration {
    if judge.is_healthy() {
        return Duration::from_millis(u64::from(check.interval_ms.max(100)));
    }
    if elapsed < Duration::from_secs(1) { FAST } else { SEEKING }
}
