//! Turns deliveries into wishes and into what GitHub said about installations.
//!
//! Everything that one delivery leads to is written in one transaction with its end, so a
//! delivery is never half done; the number of the attempt fences off who was too slow.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use zeitwork_database::webhook_queue::{self as queue, Claimed};
use zeitwork_model::id::DeliveryId;
use zeitwork_model::reason::Reason;
use zeitwork_model::webhook::DeliveryStatus;
use zeitwork_runtime::lifecycle::chain;
use zeitwork_runtime::{Backoff, PassReport, Reconciler, effect, step};

use crate::{Error, World};

mod decide;
mod installation;
mod payload;
mod push;
#[cfg(test)]
mod tests;

pub(super) use decide::{Origin, apply, follows_many, snapshot};

/// Deliveries claimed at once.
const BATCH: i64 = 20;
/// Repositories worked on at once.
const AT_ONCE: usize = 4;
/// One delivery; its claim is renewed meanwhile.
const LIMIT: Duration = Duration::from_secs(30);
/// After so many attempts it is for a person to say "again"; the sweep goes on meanwhile.
const ATTEMPTS: i32 = 8;
/// So many times what changed meanwhile is looked at again at once.
const RACES: i32 = 3;
/// The ceiling of the first wait, which doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The reconciler.
#[derive(Debug)]
pub struct Webhooks {
    world: Arc<World>,
}

/// How a delivery ends.
#[derive(Debug)]
struct End {
    status: DeliveryStatus,
    reason: Option<Reason>,
}

impl End {
    fn processed() -> Self {
        Self { status: DeliveryStatus::Processed, reason: None }
    }

    fn ignored(code: &str, text: impl Into<String>) -> Self {
        Self { status: DeliveryStatus::Ignored, reason: Some(Reason::new(code, text)) }
    }

    fn dead(code: &str, text: impl Into<String>) -> Self {
        Self { status: DeliveryStatus::Dead, reason: Some(Reason::new(code, text)) }
    }
}

/// Why a delivery has no end yet.
#[derive(Debug)]
enum Unended {
    /// Try again, not before the time that was asked for.
    Later(Reason, Option<Duration>),
    /// A mistake of ours, or the database.
    Broken(Error),
}

impl<E: Into<Error>> From<E> for Unended {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

impl Webhooks {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        Self { world: Arc::clone(world) }
    }
}

impl Reconciler for Webhooks {
    const NAME: &'static str = "webhooks";
    type Error = Error;

    async fn pass(&mut self) -> Result<PassReport, Error> {
        let mut connection = self.world.database.acquire().await?;
        let claim = queue::claim(&mut connection, BATCH);
        let claimed = effect(step!("webhooks.claim"), claim).await?;
        drop(connection);
        let held = Held::new(&claimed);
        let mut report = PassReport::default();
        // In their order within a repository, side by side otherwise.
        let mut groups: BTreeMap<Option<i64>, Vec<Claimed>> = BTreeMap::new();
        for delivery in claimed {
            groups.entry(delivery.repository_id).or_default().push(delivery);
        }
        let works: Vec<_> =
            groups.into_values().map(|group| take_group(&self.world, group, &held)).collect();
        let work = futures::stream::iter(works).buffer_unordered(AT_ONCE).concat();
        let outcomes = tokio::select! {
            outcomes = work => outcomes,
            error = held.renew(&self.world) => return Err(error),
        };
        for outcome in outcomes {
            report.seen += 1;
            match outcome {
                Ok(()) => report.changed += 1,
                Err(reason) => {
                    report.failed += 1;
                    report.reasons.push(reason);
                }
            }
        }
        report.again_after = queue::next_due(&mut *self.world.database.acquire().await?).await?;
        Ok(report)
    }
}

/// The claims of a pass that have no end yet.
#[derive(Debug)]
struct Held(Mutex<BTreeMap<DeliveryId, i32>>);

impl Held {
    fn new(claimed: &[Claimed]) -> Self {
        Self(Mutex::new(claimed.iter().map(|it| (it.id, it.attempt)).collect()))
    }

    fn release(&self, id: DeliveryId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Keeps the claims alive; returns only where that does not work: they will be lost.
    async fn renew(&self, world: &World) -> Error {
        loop {
            tokio::time::sleep(queue::RENEW_EVERY).await;
            let claims: Vec<_> = {
                let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                held.iter().map(|(id, attempt)| (*id, *attempt)).collect()
            };
            let renewed = async {
                let mut connection = world.database.acquire().await?;
                effect(step!("webhooks.renew"), queue::renew(&mut connection, &claims)).await
            };
            if let Err(error) = renewed.await {
                return error.into();
            }
        }
    }
}

async fn take_group(world: &World, group: Vec<Claimed>, held: &Held) -> Vec<Result<(), String>> {
    let mut outcomes = Vec::new();
    for delivery in group {
        outcomes.push(take(world, &delivery, held).await);
    }
    outcomes
}

/// One delivery; the error says why it is still pending, or lost to another claim.
async fn take(world: &World, claimed: &Claimed, held: &Held) -> Result<(), String> {
    let outcome = if let Ok(outcome) = tokio::time::timeout(LIMIT, work(world, claimed)).await {
        outcome
    } else {
        let reason = Reason::new("took_too_long", "It took too long; it is tried again.");
        Err(Unended::Later(reason, None))
    };
    held.release(claimed.id);
    let (reason, asked) = match outcome {
        Ok(()) => return Ok(()),
        Err(Unended::Later(reason, asked)) => (reason, asked),
        Err(Unended::Broken(error)) if error.is_stale() => {
            let text = "Something changed meanwhile; it is tried again.";
            (Reason::new("changed_meanwhile", text), Some(Duration::ZERO))
        }
        Err(Unended::Broken(error)) => {
            tracing::warn!(delivery.id = %claimed.id, error = chain(&error), "delivery left");
            (Reason::new("internal", "It could not be worked on; it is tried again."), None)
        }
    };
    match put_off(world, claimed, &reason, asked).await {
        Ok(()) => Err(format!("{}: {}", claimed.id, reason.text)),
        Err(error) => Err(format!("{}: {}", claimed.id, chain(&error))),
    }
}

async fn put_off(
    world: &World,
    claimed: &Claimed,
    reason: &Reason,
    asked: Option<Duration>,
) -> Result<(), Error> {
    let mut connection = world.database.acquire().await?;
    if claimed.attempt >= ATTEMPTS {
        let end = queue::finish(&mut connection, claimed, DeliveryStatus::Dead, Some(reason));
        effect(step!("webhooks.bury"), end).await?;
        return Ok(());
    }
    let doublings = u32::try_from(claimed.attempt - 1).unwrap_or(0);
    let ceiling = FIRST_WAIT * 2u32.pow(doublings.min(ATTEMPTS.unsigned_abs()));
    // Between half and the whole of the ceiling.
    let delay = ceiling / 2 + Backoff::new(ceiling / 2, ceiling).next_delay();
    let delay = match asked {
        // A race is over at once; what goes on changing is left alone for a while.
        Some(Duration::ZERO) if claimed.attempt <= RACES => delay.min(Duration::from_millis(50)),
        Some(asked) => delay.max(asked),
        None => delay,
    };
    let postpone = queue::postpone(&mut connection, claimed, delay, reason);
    effect(step!("webhooks.postpone"), postpone).await?;
    Ok(())
}

async fn work(world: &World, claimed: &Claimed) -> Result<(), Unended> {
    let bytes = queue::payload(&mut *world.database.acquire().await?, claimed.id).await?;
    let end = match claimed.event.as_str() {
        "push" => match serde_json::from_slice(&bytes) {
            Ok(payload) => return push::take(world, claimed, &payload).await,
            Err(error) => unreadable(&error),
        },
        "installation" | "installation_repositories" => match serde_json::from_slice(&bytes) {
            Ok(payload) => return installation::take(world, claimed, &payload).await,
            Err(error) => unreadable(&error),
        },
        "repository" => match serde_json::from_slice(&bytes) {
            Ok(payload) => return installation::take_repository(world, claimed, &payload).await,
            Err(error) => unreadable(&error),
        },
        "ping" => End::processed(),
        other => End::ignored("event_not_used", format!("Nothing follows {other:?} events.")),
    };
    finish(world, claimed, end).await
}

fn unreadable(error: &serde_json::Error) -> End {
    // The text of serde names fields and places, and no more of the payload than one token.
    let text = format!("The payload is not what GitHub documents: {error}.");
    End::dead("payload_unreadable", text.chars().take(300).collect::<String>())
}

/// Ends a delivery that changes nothing else.
async fn finish(world: &World, claimed: &Claimed, end: End) -> Result<(), Unended> {
    let mut connection = world.database.acquire().await?;
    let finish = queue::finish(&mut connection, claimed, end.status, end.reason.as_ref());
    effect(step!("webhooks.finish"), finish).await?;
    Ok(())
}
