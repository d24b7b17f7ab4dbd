//! Fifty senders of signed deliveries at a steady rate.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use tokio::task::JoinSet;
use zeitwork_stand_ins::github::{Event, Headers};
use zeitwork_tests::Cluster;

use crate::line::Line;
use crate::report::Report;
use crate::world;

const SENDERS: u32 = 50;
/// Of each sender: with its pause, ten seconds at 200 deliveries a second in all.
const DELIVERIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(250);

/// All are stored; none finds a project, so the figure holds no build.
pub async fn measure(report: &mut Report) {
    let cluster = Cluster::start().await;
    let repository = cluster.github.repository("acme/nobodys").await.unwrap();
    repository.commit_directory(&world::web(), "Open").await.unwrap();
    repository.push().await.unwrap();
    cluster.github.wait_for_deliveries(1).await.unwrap();
    let model = cluster.github.events().pop().unwrap();
    let mut senders = JoinSet::new();
    let start = Instant::now() + Duration::from_millis(500);
    for sender in 0..SENDERS {
        let signed: Vec<_> = (0..DELIVERIES)
            .map(|delivery| {
                let guid = format!("{sender:08x}-{delivery:04x}-4000-8000-000000000000");
                cluster.github.signed(&Event { guid, ..model.clone() }).unwrap()
            })
            .collect();
        let start = start + PAUSE * sender / SENDERS;
        senders.spawn(send(Line::to(cluster.api), start, signed));
    }
    let (mut times, mut refused) = (Vec::new(), Vec::new());
    for (accepted, failures) in senders.join_all().await {
        times.extend(accepted);
        refused.extend(failures);
    }
    report.times("webhook.accepted", &times);
    #[allow(clippy::cast_precision_loss, reason = "some thousand deliveries")]
    report.number("webhook.failed", "deliveries", refused.len() as f64);
    if let Some(example) = refused.first() {
        println!("  for example: {example}");
    }
}

/// Times count from when a delivery was due: a late answer also delays the next one.
async fn send(
    mut line: Line,
    start: Instant,
    signed: Vec<(Headers, Bytes)>,
) -> (Vec<Duration>, Vec<String>) {
    let (mut accepted, mut failed) = (Vec::new(), Vec::new());
    for ((headers, body), turn) in signed.into_iter().zip(0..) {
        let due = start + PAUSE * turn;
        tokio::time::sleep_until(due.into()).await;
        let mut request = Request::post("/api/v1/webhooks/github").header("host", "api");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        match line.send(request.body(Full::new(body)).unwrap()).await {
            Ok((StatusCode::ACCEPTED, _)) => accepted.push(due.elapsed()),
            other => failed.push(format!("{other:?}")),
        }
    }
    (accepted, failed)
}
