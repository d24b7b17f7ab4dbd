//! Is the daemon alive, and does it have what it needs? `/healthz` and `/readyz`.
//!
//! A check's result is kept for a moment, so that probes cannot become a load on what they probe.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

#[cfg(test)]
mod tests;

/// How long a result is good.
const FRESH: Duration = Duration::from_secs(1);
/// A check that takes longer has failed.
const CHECK_LIMIT: Duration = Duration::from_secs(2);

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckOutcome {
    /// Is the dependency usable?
    pub ok: bool,
    /// In words, for a person.
    pub detail: String,
}

impl CheckOutcome {
    /// Usable.
    #[must_use]
    pub fn ok(detail: impl Into<String>) -> Self {
        Self { ok: true, detail: detail.into() }
    }

    /// Not usable: why, and what to do.
    #[must_use]
    pub fn failed(detail: impl Into<String>) -> Self {
        Self { ok: false, detail: detail.into() }
    }
}

type Running = Pin<Box<dyn Future<Output = CheckOutcome> + Send>>;

struct Check {
    name: &'static str,
    /// Must it hold for readiness, or is it only shown?
    required: bool,
    run: Box<dyn Fn() -> Running + Send + Sync>,
    latest: Mutex<Option<(Instant, CheckOutcome)>>,
    /// Only one run at a time; the others wait for its result.
    running: tokio::sync::Mutex<()>,
}

impl Check {
    async fn outcome(&self) -> CheckOutcome {
        if let Some(outcome) = self.fresh() {
            return outcome;
        }
        let _alone = self.running.lock().await;
        if let Some(outcome) = self.fresh() {
            return outcome;
        }
        let late =
            |_| CheckOutcome::failed(format!("no answer within {} s", CHECK_LIMIT.as_secs()));
        let outcome = tokio::time::timeout(CHECK_LIMIT, (self.run)()).await.unwrap_or_else(late);
        let latest = Some((Instant::now(), outcome.clone()));
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = latest;
        outcome
    }

    fn fresh(&self) -> Option<CheckOutcome> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, outcome)| outcome.clone())
    }
}

/// The dependencies of a daemon; cheap to clone, checks can join at any time.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<Mutex<Vec<Arc<Check>>>>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Health")
    }
}

/// The answer to "are you ready?".
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// All required checks hold.
    pub ready: bool,
    /// Each check by name.
    pub checks: BTreeMap<&'static str, CheckOutcome>,
}

impl Health {
    /// Nothing to check: always ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A dependency without which the daemon is not ready.
    pub fn require<F, R>(&self, name: &'static str, check: F)
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = CheckOutcome> + Send + 'static,
    {
        self.add(name, true, check);
    }

    /// A dependency that is shown, and without which the daemon goes on.
    pub fn show<F, R>(&self, name: &'static str, check: F)
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = CheckOutcome> + Send + 'static,
    {
        self.add(name, false, check);
    }

    fn add<F, R>(&self, name: &'static str, required: bool, check: F)
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = CheckOutcome> + Send + 'static,
    {
        let run = Box::new(move || -> Running { Box::pin(check()) });
        let (latest, running) = (Mutex::default(), tokio::sync::Mutex::default());
        let check = Arc::new(Check { name, required, run, latest, running });
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).push(check);
    }

    /// Runs all checks at once, each with a time-out, and takes fresh results as they are.
    pub async fn readiness(&self) -> Readiness {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut readiness = Readiness { ready: true, checks: BTreeMap::new() };
        let mut running = tokio::task::JoinSet::new();
        for check in checks {
            running.spawn(async move { (check.name, check.required, check.outcome().await) });
        }
        while let Some(done) = running.join_next().await {
            // A check that panics says nothing about its name; it must not say "ready".
            let (name, required, outcome) =
                done.unwrap_or(("panicked", true, CheckOutcome::failed("the check panicked")));
            readiness.ready &= outcome.ok || !required;
            readiness.checks.insert(name, outcome);
        }
        readiness
    }
}
