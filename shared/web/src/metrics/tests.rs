use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use zeitwork_runtime::{Clock, Lifecycle, PassReport, Reconciler, Schedule};

use super::*;

struct Idle;

impl Reconciler for Idle {
    const NAME: &'static str = "idlers";
    type Error = fmt::Error;
    async fn pass(&mut self) -> Result<PassReport, fmt::Error> {
        Ok(PassReport { changed: 2, ..PassReport::default() })
    }
}

#[tokio::test]
async fn counters_and_reconcilers_are_shown_as_openmetrics() {
    let metrics = Metrics::new();
    let requests = Counter::<u64>::default();
    metrics.register(|registry| registry.register("requests", "Requests", requests.clone()));
    requests.inc();
    let (life, all) = (Lifecycle::new(), Reconcilers::new(Clock::system()));
    metrics.show_reconcilers(all.clone());
    all.spawn(&life, Idle, Schedule::every(Duration::from_hours(1)));
    while all.statuses()[0].passes_total == 0 {
        tokio::task::yield_now().await;
    }
    let text = metrics.encode().unwrap();
    for line in [
        "zeitwork_requests_total 1",
        "zeitwork_reconciler_passes_total{reconciler=\"idlers\"} 1",
        "zeitwork_reconciler_changes_total{reconciler=\"idlers\"} 2",
        "zeitwork_reconciler_failures_in_a_row{reconciler=\"idlers\"} 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in {text}");
    }
}
