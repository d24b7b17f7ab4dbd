//! `nodes`: each node is told what it shall do, and what it says is taken in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use zeitwork_database::steps::nodes as steps;
use zeitwork_database::views::nodes::{self as view, Node};
use zeitwork_model::generation::Position;
use zeitwork_model::node::NodeStatus;
use zeitwork_planning::nodes::{LOST_AFTER, node_after};
use zeitwork_runtime::{PassReport, Reconciler, effect, step};

use crate::each::{Done, Keys};
use crate::target::{self, Rows};
use crate::{Error, World};

mod report;

/// Keeps nodes, their targets, and what their reports say right.
#[derive(Debug)]
pub struct Nodes {
    world: Arc<World>,
    /// Since when every pass has worked. After an outage of the database no node has reported,
    /// and none is lost for that.
    steady_since: Option<Instant>,
    keys: Keys,
}

impl Nodes {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        let keys = Keys::new(Self::NAME, step!("nodes.node"));
        Self { world: world.clone(), steady_since: None, keys }
    }
}

/// What the pass of one node goes by.
struct Moment {
    now: time::OffsetDateTime,
    epoch: i64,
    /// Silence counts.
    steady: bool,
}

impl Reconciler for Nodes {
    const NAME: &'static str = "nodes";
    type Error = Error;

    async fn pass(&mut self) -> Result<PassReport, Error> {
        let since = self.steady_since.take();
        let (nodes, now, epoch) = {
            let mut connection = self.world.database.acquire().await?;
            let epoch = zeitwork_database::installation::read(&mut connection).await?.epoch;
            let now = zeitwork_database::installation::now(&mut connection).await?;
            (view::nodes(&mut connection).await?, now, epoch)
        };
        let since = since.unwrap_or_else(Instant::now);
        let lost_after = Duration::try_from(LOST_AFTER).unwrap_or_default();
        let moment = Moment { now, epoch, steady: since.elapsed() > lost_after };
        let mut report = PassReport::default();
        let (world, moment) = (&self.world, &moment);
        let works = nodes.iter().map(|n| (n.id.to_string(), reconcile(world, n, moment))).collect();
        self.keys.work(&mut report, works).await;
        self.steady_since = Some(since);
        Ok(report)
    }
}

async fn reconcile(world: &World, node: &Node, moment: &Moment) -> Result<Done, Error> {
    let mut connection = world.database.acquire().await?;
    let connection = &mut *connection;
    let mut rows = Rows::read(connection, node).await?;
    let mut done = Done::default();
    if let Some(taken) = report::take_in(world, connection, node, &rows).await? {
        (done.changed, done.ignored) = (taken.changed, taken.foreign);
        done.reason = (taken.foreign > 0).then(|| {
            format!("it told of {} instances or builds that are not its own", taken.foreign)
        });
        // What it said may end instances and builds.
        rows = Rows::read(connection, node).await?;
    }
    let (status, returns_to) = (node.status, node.returns_to);
    let running = rows.instances.len();
    let after = node_after(status, returns_to, node.reported_at, running, moment.now);
    if let Some(next) = after.filter(|next| *next != NodeStatus::Lost || moment.steady) {
        let set = steps::set_status(connection, node.id, node.status, next);
        effect(step!("nodes.set_status"), set).await?;
        tracing::info!(node.id = %node.id, node.status = %next, "node changed");
        done.changed += 1;
    }
    let previous = node.epoch.zip(node.generation);
    let previous = previous.map(|(epoch, generation)| Position { epoch, generation });
    if let Some(target) = target::next(world, connection, node, rows, moment.epoch).await? {
        let write = steps::write_target(connection, node.id, &target, previous);
        effect(step!("nodes.write_target"), write).await?;
        done.changed += 1;
    }
    Ok(done)
}
