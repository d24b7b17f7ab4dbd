//! The metrics of a daemon, in the OpenMetrics text format.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use zeitwork_runtime::Reconcilers;
use zeitwork_runtime::reconciler::ReconcilerStatus;

#[cfg(test)]
mod tests;

/// The media type of [`Metrics::encode`].
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The registry of a daemon; cheap to clone. All names get the prefix `zeitwork_`.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Registry::with_prefix("zeitwork"))))
    }

    /// Registers metrics; called once by each part at its start.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows what the reconcilers do.
    pub fn show_reconcilers(&self, reconcilers: Reconcilers) {
        self.register(|registry| {
            registry.register_collector(Box::new(ReconcilerCollector(reconcilers)));
        });
    }

    /// The present values as OpenMetrics text.
    ///
    /// # Errors
    /// A collector that cannot encode its values.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct ReconcilerCollector(Reconcilers);

type Read = fn(&ReconcilerStatus) -> u64;

const COUNTERS: &[(&str, &str, Read)] = &[
    ("reconciler_passes", "Passes that worked", |it| it.passes_total),
    ("reconciler_failures", "Passes that did not work", |it| it.failures_total),
    ("reconciler_changes", "Steps carried out", |it| it.changed_total),
    ("reconciler_ignored", "Things that were told and not believed", |it| it.ignored_total),
    ("drift_found", "Steps that only the periodic sweep found", |it| it.drift_found_total),
];

const GAUGES: &[(&str, &str, Read)] = &[
    ("reconciler_failures_in_a_row", "Failed passes since the last that worked", |it| {
        it.failures_in_a_row
    }),
    ("reconciler_last_pass_duration_milliseconds", "How long the latest pass took", |it| {
        it.last_pass.as_ref().map_or(0, |pass| pass.duration_ms)
    }),
];

impl Collector for ReconcilerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let all = self.0.statuses();
        for (name, help, read) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for status in &all {
                let labels = [("reconciler", status.name.as_str())];
                ConstCounter::new(read(status)).encode(family.encode_family(&labels)?)?;
            }
        }
        for (name, help, read) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for status in &all {
                let labels = [("reconciler", status.name.as_str())];
                let value = i64::try_from(read(status)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
