//! Twenty deploys while visitors keep coming: how many of their requests fail.

use std::time::Instant;

use zeitwork_tests::Cluster;
use zeitwork_tests::load::Load;

use crate::line::Line;
use crate::report::Report;
use crate::world;

const DEPLOYS: usize = 20;
const VISITORS: usize = 8;

/// The next push comes when the last one is live.
#[allow(clippy::cast_precision_loss, reason = "some thousand requests")]
pub async fn measure(report: &mut Report) {
    let cluster = Cluster::start().await;
    let mut live = world::live(&cluster, "deploys").await;
    let load = Load::start(&[cluster.edge], &live.project.host, VISITORS);
    let mut times = Vec::new();
    for _ in 0..DEPLOYS {
        let commit = live.next_commit().await;
        let began = Instant::now();
        live.repository.push().await.unwrap();
        let seen = Line::to(cluster.edge).until_commit(&live.project.host, &commit).await;
        times.push(seen - began);
        live.owner.live(&live.project, &commit).await;
    }
    let seen = load.finish().await;
    report.times("deploys.push_to_live_under_load", &times);
    report.number("deploys.requests_answered", "requests", seen.answered as f64);
    report.number("deploys.requests_failed", "requests", seen.failed as f64);
    for example in &seen.examples {
        println!("  for example: {example}");
    }
}
