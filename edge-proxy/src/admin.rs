//! Health and metrics, on addresses of their own: the traffic ports have no path of ours.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use zeitwork_web::{CheckOutcome, Health, Metrics};

use crate::answer::Refusal;
use crate::metrics::{Count, Counters};
use crate::routes::standing::Standing;
use crate::routes::table::Table;

/// Ready is who has a table: an old one is better than an edge that is taken out of service. The
/// rest is shown.
pub(crate) fn health(table: &Arc<Table>, standing: &Arc<Standing>, has_database: bool) -> Health {
    let health = Health::new();
    let routes = table.clone();
    health.require("routes", move || {
        let outcome = match routes.position() {
            Some(position) => CheckOutcome::ok(format!(
                "{} hosts at generation {}.{}",
                routes.hosts(),
                position.epoch,
                position.generation
            )),
            None => CheckOutcome::failed("no route table yet: neither database nor disk has one"),
        };
        async move { outcome }
    });
    let disk = standing.clone();
    health.show("disk", move || {
        let outcome = match disk.state().unsaved {
            None => CheckOutcome::ok("holds the routes"),
            Some(trouble) => CheckOutcome::failed(format!("{trouble}; a restart has no routes")),
        };
        async move { outcome }
    });
    if !has_database {
        return health;
    }
    let database = standing.clone();
    health.show("database", move || {
        let outcome = match database.state().trouble {
            None => CheckOutcome::ok("answers"),
            Some(trouble) => CheckOutcome::failed(format!("{trouble}; serving the last routes")),
        };
        async move { outcome }
    });
    let lease = standing.clone();
    health.show("lease", move || {
        let outcome = if lease.has_lease() {
            CheckOutcome::ok("held")
        } else {
            CheckOutcome::failed("cannot be renewed; deployments do not wait for this edge")
        };
        async move { outcome }
    });
    health
}

pub(crate) fn metrics(
    table: &Arc<Table>,
    standing: &Arc<Standing>,
    counters: &[Arc<Counters>],
) -> Metrics {
    let metrics = Metrics::new();
    let collector = EdgeCollector {
        table: table.clone(),
        standing: standing.clone(),
        counters: counters.to_vec(),
    };
    metrics.register(|registry| registry.register_collector(Box::new(collector)));
    metrics
}

/// Adds the workers' counts up. No label is a host or a path: there are too many of them.
#[derive(Debug)]
struct EdgeCollector {
    table: Arc<Table>,
    standing: Arc<Standing>,
    counters: Vec<Arc<Counters>>,
}

type Read = fn(&Counters) -> &Count;

const COUNTERS: &[(&str, &str, Read)] = &[
    ("edge_body_bytes", "Bytes of answers' bodies", |it| &it.bytes),
    ("edge_retries", "Attempts after the first", |it| &it.retries),
    ("edge_ejections", "Instances skipped for a while", |it| &it.ejections),
    ("edge_connections_accepted", "Connections of clients", |it| &it.accepted),
    ("edge_connections_silent", "Connections without a first byte", |it| &it.silent),
    ("edge_log_records_dropped", "Access log records not written", |it| &it.log_dropped),
];

const GAUGES: &[(&str, &str, Read)] = &[
    ("edge_requests_in_flight", "Requests that are being answered", |it| &it.in_flight),
    ("edge_connections", "Connections of clients that are open", |it| &it.connections),
    ("edge_upgrades", "Upgraded connections that are open", |it| &it.upgrades),
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl EdgeCollector {
    fn sum(&self, of: impl Fn(&Counters) -> &Count) -> u64 {
        self.counters.iter().map(|counters| of(counters).get()).fold(0, u64::wrapping_add)
    }

    fn labelled(&self, encoder: &mut DescriptorEncoder) -> Result<(), fmt::Error> {
        let (name, help) = ("edge_requests", "Requests by class of status");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (index, class) in CLASSES.into_iter().enumerate() {
            let count = self.sum(|counters| &counters.requests[index]);
            let labels = [("class", class)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        let (name, help) = ("edge_answers", "Answers of the edge itself by code");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (index, code) in Refusal::CODES.into_iter().enumerate() {
            let count = self.sum(|counters| &counters.refusals[index]);
            let labels = [("code", code)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn table_gauges(&self) -> [(&'static str, &'static str, i64); 7] {
        let state = self.standing.state();
        let position = self.table.position().unwrap_or_default();
        let age = state.current.map_or(-1, |at| signed(at.elapsed().as_millis()));
        [
            ("edge_routes", "Hosts in the table", signed(self.table.hosts())),
            ("edge_routes_epoch", "Epoch of the table", position.epoch),
            ("edge_routes_generation", "Generation of the table", position.generation),
            ("edge_routes_age_milliseconds", "Since it was last current; -1: never", age),
            ("edge_lease", "1 where the lease is held", i64::from(self.standing.has_lease())),
            ("edge_routes_drift", "Differences found and mended", signed(state.drift)),
            ("edge_routes_failures", "Looks at the database that failed", signed(state.failures)),
        ]
    }
}

impl Collector for EdgeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        self.labelled(&mut encoder)?;
        for (name, help, read) in COUNTERS {
            let counter = ConstCounter::new(self.sum(read));
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        for (name, help, read) in GAUGES {
            let gauge = ConstGauge::new(signed(self.sum(read)));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        for (name, help, value) in self.table_gauges() {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}

fn signed(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
