//! A cancel kills what runs.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::json;
use zeitwork_tests::process::{self, Part};
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, eventually};

use super::live_project;

/// What a cancel may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_is_gone_within_two_seconds_and_the_old_one_serves() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, first) = live_project(&cluster, "acme/cancel").await;
    // No other process sleeps for exactly so long.
    let sleep = format!("sleep\0{}.5\0", 100_000 + std::process::id());
    let run = format!("RUN {}\n", sleep.replace('\0', " "));
    let dockerfile = format!("FROM busybox\nCOPY . .\n{run}CMD [\"true\"]\n");
    let commit = repository.commit(&[("Dockerfile", &dockerfile)], "Sleep").await.unwrap();
    repository.push().await.unwrap();
    eventually("the build sleeps", LIVE_LIMIT, || async {
        let sleeping = !process::with(Part::Command, &sleep).is_empty();
        if sleeping { Ok(()) } else { Err("no process".to_owned()) }
    })
    .await;
    let builds = owner.get(&format!("/projects/{}/builds", project.id)).await;
    let build = &builds["items"][0];
    assert_eq!(build["status"], "running", "{build}");
    let build = format!("/builds/{}", build["id"].as_str().unwrap());

    let began = Instant::now();
    owner.send(Method::POST, &format!("{build}/cancel"), &json!({})).await;
    eventually("the process is gone", LIVE_LIMIT, || async {
        let left = process::with(Part::Command, &sleep);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let took = began.elapsed();
    assert!(took < CANCEL_LIMIT, "the process was there for {took:?}");
    eventually("the build is cancelled", LIVE_LIMIT, || async {
        let seen = owner.call(Method::GET, &build, None).await?;
        if seen.json()["status"] == "cancelled" { Ok(()) } else { Err(seen.text()) }
    })
    .await;
    let took = began.elapsed();
    assert!(took < CANCEL_LIMIT, "the build was not cancelled for {took:?}");
    assert_eq!(owner.settled(&project, &commit).await["status"], "cancelled");
    cluster.page_with(&project.host, &format!("commit={first}"), LIVE_LIMIT).await;
}
