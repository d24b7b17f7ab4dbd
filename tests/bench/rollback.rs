//! From the wish for an older deployment to its first page at the edge, while it is still warm.

use std::time::Instant;

use hyper::Method;
use serde_json::{Value, json};
use zeitwork_tests::user::{LIVE_LIMIT, User};
use zeitwork_tests::{Cluster, eventually};

use crate::line::Line;
use crate::report::Report;
use crate::world;

const ROUNDS: usize = 20;

/// Goes to and fro between two deployments.
pub async fn measure(report: &mut Report) {
    let cluster = Cluster::start().await;
    let mut live = world::live(&cluster, "back").await;
    let first = (live.commit.clone(), id(&live.owner.live(&live.project, &live.commit).await));
    let second = live.next_commit().await;
    live.repository.push().await.unwrap();
    let second = (second.clone(), id(&live.owner.live(&live.project, &second).await));
    let path = format!("/projects/{}/environments/production/rollback", live.project.id);
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let (commit, deployment) = if round % 2 == 0 { &first } else { &second };
        let began = Instant::now();
        live.owner.send(Method::POST, &path, &json!({"deployment": deployment})).await;
        let seen = Line::to(cluster.edge).until_commit(&live.project.host, commit).await;
        times.push(seen - began);
        until_live(&live.owner, deployment).await;
    }
    report.times("rollback.to_answer", &times);
}

fn id(deployment: &Value) -> String {
    deployment["id"].as_str().unwrap().to_owned()
}

async fn until_live(owner: &User<'_>, deployment: &str) {
    let path = format!("/deployments/{deployment}");
    eventually(&format!("{deployment} is live"), LIVE_LIMIT, || async {
        let answer = owner.call(Method::GET, &path, None).await?;
        if answer.json()["status"] == "live" { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}
