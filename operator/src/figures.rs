//! The installation in numbers, for Prometheus. Every state has a series, also where nobody is in
//! it, so that an alert can tell 0 from nothing.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use zeitwork_database::{Database, figures};
use zeitwork_runtime::Lifecycle;
use zeitwork_web::Metrics;

const PERIOD: Duration = Duration::from_secs(5);
const NODES: [&str; 6] = ["joining", "ready", "cordoned", "draining", "drained", "lost"];
const UNDER_WAY: [&str; 3] = ["queued", "building", "starting"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: &'static str,
}

#[derive(Debug, Clone, Default)]
struct Gauges {
    nodes: Family<Status, Gauge>,
    deployments: Family<Status, Gauge>,
    oldest: Family<Status, Gauge>,
    ended: Family<Status, Gauge>,
    webhooks: Gauge,
    webhooks_oldest: Gauge,
    age: Gauge,
}

/// Shows the numbers and keeps them fresh until the daemon stops.
pub(crate) fn follow(metrics: &Metrics, database: Database, life: &Lifecycle) {
    let gauges = Gauges::default();
    metrics.register(|registry| {
        database.show(registry);
        let all = gauges.clone();
        registry.register("nodes", "Nodes by status", all.nodes);
        registry.register("deployments_under_way", "Deployments by status", all.deployments);
        let help = "How long the oldest deployment of this status has been under way";
        registry.register("deployments_under_way_oldest_seconds", help, all.oldest);
        let help = "Deployments that ended within the last 30 minutes";
        registry.register("deployments_ended_lately", help, all.ended);
        registry.register("webhooks_waiting", "Deliveries not yet looked at", all.webhooks);
        let help = "How long the oldest of them has waited";
        registry.register("webhooks_waiting_oldest_seconds", help, all.webhooks_oldest);
        registry.register("figures_age_seconds", "Age of these numbers", all.age);
    });
    let stop = life.clone();
    life.spawn("figures", async move {
        let mut taken = tokio::time::Instant::now();
        loop {
            match read(&database).await {
                Ok(figures) => {
                    gauges.take(&figures);
                    taken = tokio::time::Instant::now();
                }
                Err(error) => tracing::debug!(%error, "the figures were not read"),
            }
            gauges.age.set(i64::try_from(taken.elapsed().as_secs()).unwrap_or(i64::MAX));
            tokio::select! {
                () = stop.stopping() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    });
}

async fn read(database: &Database) -> zeitwork_database::Result<figures::Figures> {
    figures::read(&mut *database.acquire().await?).await
}

impl Gauges {
    fn take(&self, figures: &figures::Figures) {
        for status in NODES {
            let here = figures.nodes.iter().find(|(name, _)| name == status);
            let count = here.map_or(0, |(_, count)| *count);
            self.nodes.get_or_create(&Status { status }).set(count);
        }
        for status in UNDER_WAY {
            let here = figures.under_way.iter().find(|(name, ..)| name == status);
            let (count, oldest) = here.map_or((0, 0), |(_, count, oldest)| (*count, *oldest));
            self.deployments.get_or_create(&Status { status }).set(count);
            self.oldest.get_or_create(&Status { status }).set(oldest);
        }
        let (live, failed) = figures.ended;
        self.ended.get_or_create(&Status { status: "live" }).set(live);
        self.ended.get_or_create(&Status { status: "failed" }).set(failed);
        self.webhooks.set(figures.webhooks.0);
        self.webhooks_oldest.set(figures.webhooks.1);
    }
}
