//! kill -9 at points spread over a deployment.

use std::time::{Duration, Instant};

use hyper::header::RETRY_AFTER;
use hyper::{Method, StatusCode};
use nix::sys::signal::Signal;
use zeitwork_tests::load::Load;
use zeitwork_tests::process::Frozen;
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, eventually};

use crate::stories::live_project;

/// Longer than leases (15 s) and than a silent node is waited for (20 s).
const OUTAGE: Duration = Duration::from_secs(25);
/// Longest time until a push is found whose delivery was lost.
const SWEEP_LIMIT: Duration = Duration::from_mins(3);

/// Kills the daemon once the newest deployment has each of the states, then expects it live.
async fn survives_kills_of(daemon: &str, repository: &str) {
    let cluster = Cluster::start().await;
    let (owner, project, repository, _) = live_project(&cluster, repository).await;
    let load = Load::start(&[cluster.edge], &project.host, 2);
    for (round, state) in ["queued", "building", "starting", "live"].into_iter().enumerate() {
        let version = format!("{}\n", round + 2);
        let commit = repository.commit(&[("version", &version)], state).await.unwrap();
        cluster.push(&repository).await;
        let path = format!("/projects/{}/deployments", project.id);
        let rank = |status: &str| {
            ["queued", "building", "starting", "live"].iter().position(|known| *known == status)
        };
        eventually(&format!("{commit} is {state}"), LIVE_LIMIT, || async {
            let answer = owner.call(hyper::Method::GET, &path, None).await?;
            let page = answer.json();
            let ours =
                page["items"].as_array().into_iter().flatten().find(|d| d["commit"] == commit);
            let status = ours.and_then(|d| d["status"].as_str()).unwrap_or_default();
            if rank(status) >= rank(state) { Ok(()) } else { Err(answer.text()) }
        })
        .await;
        cluster.signal(daemon, Signal::SIGKILL);
        cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
        owner.live(&project, &commit).await;
    }
    let seen = load.finish().await;
    if daemon != "edge-proxy" {
        assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    }
    cluster.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_survive_kills_of_the_operator() {
    survives_kills_of("operator", "acme/kill-operator").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_survive_kills_of_the_node_agent() {
    survives_kills_of("node-agent", "acme/kill-agent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_survive_kills_of_the_api() {
    survives_kills_of("api", "acme/kill-api").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_survive_kills_of_the_edge() {
    survives_kills_of("edge-proxy", "acme/kill-edge").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_database_is_not_noticed_by_visitors_and_work_goes_on_after_it() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, _) = live_project(&cluster, "acme/database").await;
    let page = cluster.page_with(&project.host, "instance=", LIVE_LIMIT).await.text();
    let load = Load::start(&[cluster.edge], &project.host, 4);
    let frozen = Frozen::server(cluster.postgres().unwrap());
    let stopped = Instant::now();
    let refused = owner.call(Method::GET, "/projects", None).await.unwrap();
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text());
    assert_eq!(refused.json()["code"], "database_unavailable", "{}", refused.text());
    assert!(refused.headers.contains_key(RETRY_AFTER), "{:?}", refused.headers);
    // GitHub counts the delivery as failed and does not send it again by itself.
    let commit = repository.commit(&[("version", "2\n")], "Meanwhile").await.unwrap();
    repository.push().await.unwrap();
    eventually("every lease is over", OUTAGE * 2, || async {
        let enough = stopped.elapsed() > OUTAGE;
        if enough { Ok(()) } else { Err(format!("{:?}", stopped.elapsed())) }
    })
    .await;
    assert_eq!(cluster.visit(&project.host, "/").await.unwrap().text(), page);
    drop(frozen);
    // The same instance serves on until the push that the api could not take was found.
    cluster.page_with(&project.host, &format!("commit={commit}"), SWEEP_LIMIT).await;
    owner.live(&project, &commit).await;
    let seen = load.finish().await;
    assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    cluster.assert_consistent().await;
}
