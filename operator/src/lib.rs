//! The operator: makes what is wished for true.
//!
//! Reconcilers look at the database on a period and whenever something says "look again", plan
//! with `zeitwork-planning`, and carry the plan out with compare-and-set. Two operators at once
//! do no harm. It talks to nodes and edges through tables alone.

use std::sync::Arc;
use std::time::Duration;

use zeitwork_database::listen::{self, Signals};
use zeitwork_database::{Database, Transaction, migrate};
use zeitwork_runtime::failpoint::Step;
use zeitwork_runtime::lifecycle::chain;
use zeitwork_runtime::{Clock, Lifecycle, Reconcilers, Schedule, effect};
use zeitwork_secrets::MasterKey;
use zeitwork_web::{CheckOutcome, Health, Metrics, serve_system};

pub mod config;
mod each;
pub mod error;
mod figures;
pub mod git_refs;
pub mod github;
mod journal;
mod outside;
pub mod reconcilers;
mod seal;
mod source;
mod target;
mod view;
mod waits;

pub use config::Config;
pub use error::Error;

/// What the operator works with.
#[derive(Debug)]
pub struct Parts {
    /// The pool, with the rights of `zeitwork_operator`.
    pub database: Database,
    /// Opens the projects' data keys.
    pub master_key: MasterKey,
    /// Stamps passes; deadlines go by the database's clock.
    pub clock: Clock,
}

/// What every reconciler shares.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) database: Database,
    pub(crate) master_key: MasterKey,
    pub(crate) outside: outside::Outside,
}

/// Makes what a transaction holds true, as a step that others see.
pub(crate) async fn commit(step: Step, transaction: Transaction) -> Result<(), Error> {
    effect(step, transaction.commit()).await.map_err(zeitwork_database::Error::from)?;
    Ok(())
}

/// A plan is carried out within this time or not at all: whoever stood still in between finds
/// another world, in which somebody else did its work.
const PLAN_LIFE: time::Duration = time::Duration::seconds(10);

/// A transaction for a step of a plan that was made at this time of the database.
pub(crate) async fn begin(
    world: &World,
    planned_at: time::OffsetDateTime,
) -> Result<Transaction, Error> {
    let mut transaction = world.database.begin().await?;
    let now = zeitwork_database::installation::now(&mut transaction).await?;
    if now > planned_at + PLAN_LIFE {
        return Err(zeitwork_database::Error::Stale("plan").into());
    }
    Ok(transaction)
}

/// Looks again at least so often, whether something was said or not.
const PERIOD: Duration = Duration::from_secs(1);
/// Passes that ask other servers, each question with a time-out of its own.
const OUTSIDE_LIMIT: Duration = Duration::from_mins(3);
/// Retention is in no hurry.
const RETENTION_PERIOD: Duration = Duration::from_secs(10);

/// Binds the addresses and starts every reconciler; returns at once, with the addresses.
///
/// # Errors
/// [`Error::Bind`] for an address that cannot be bound.
pub fn run(
    config: Config,
    parts: Parts,
    life: &Lifecycle,
) -> Result<Vec<std::net::SocketAddr>, Error> {
    let addresses = config.addresses.clone();
    let outside = outside::Outside::new(&config, &parts.clock)?;
    let Parts { database, master_key, clock } = parts;
    let world = Arc::new(World { config, database, master_key, outside });
    let all = Reconcilers::new(clock);
    start_reconcilers(&all, life, &world);
    life.spawn("signals", wake_on_signals(world.database.clone(), all.clone(), life.clone()));
    life.spawn("journal", journal::write(world.database.clone(), all.clone(), life.clone()));
    let (health, metrics) = (Health::new(), Metrics::new());
    let database = world.database.clone();
    health.require("database", move || {
        let database = database.clone();
        async move {
            match migrate::check(&database).await {
                Ok(()) => CheckOutcome::ok("answers, with a schema that fits"),
                Err(error) => CheckOutcome::failed(chain(&error)),
            }
        }
    });
    metrics.show_reconcilers(all);
    figures::follow(&metrics, world.database.clone(), life);
    Ok(serve_system(&addresses, health, metrics, life)?)
}

/// The list of reconcilers: each keeps one noun right.
fn start_reconcilers(all: &Reconcilers, life: &Lifecycle, world: &Arc<World>) {
    let every = Schedule::every(PERIOD);
    all.spawn(life, reconcilers::Nodes::new(world), every);
    all.spawn(life, reconcilers::Webhooks::new(world), every.timeout(OUTSIDE_LIMIT));
    all.spawn(life, reconcilers::Sources::new(world), every.timeout(OUTSIDE_LIMIT));
    all.spawn(life, reconcilers::Heads::new(world), every.timeout(OUTSIDE_LIMIT));
    all.spawn(life, reconcilers::CommitStatus::new(world), every.timeout(OUTSIDE_LIMIT));
    all.spawn(life, reconcilers::Builds::new(world), every);
    all.spawn(life, reconcilers::Images::new(world), every.gap(PERIOD));
    all.spawn(life, reconcilers::Rollouts::new(world), every);
    all.spawn(life, reconcilers::Routes::new(world), every);
    all.spawn(
        life,
        reconcilers::Retention::new(world),
        Schedule::every(RETENTION_PERIOD).gap(RETENTION_PERIOD),
    );
}

async fn wake_on_signals(database: Database, all: Reconcilers, life: Lifecycle) {
    let mut signals = Signals::new(&database, &[listen::OPERATOR]);
    loop {
        tokio::select! {
            () = life.stopping() => return,
            () = signals.next() => all.wake_all(),
        }
    }
}
