//! kill -9 at points spread over a deployment.

use std::time::Duration;

use nix::sys::signal::Signal;
use zeitwork_tests::load::Load;
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, eventually};

use crate::stories::live_project;

/// Kills the daemon once the newest deployment has each of the states, then expects it live.
async fn survives_kills_of(daemon: &str, repository: &str) {
    let cluster = Cluster::start().await;
    let (owner, project, repository, _) = live_project(&cluster, repository).await;
    let load = Load::start(&[cluster.edge], &project.host, 2);
    for (round, state) in ["queued", "building", "starting", "live"].into_iter().enumerate() {
        let version = format!("{}\n", round + 2);
        let commit = repository.commit(&[("version", &version)], state).await.unwrap();
        repository.push().await.unwrap();
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
    let load = Load::start(&[cluster.edge], &project.host, 4);
    let database = cluster.postgres().unwrap();
    nix::sys::signal::kill(database, Signal::SIGSTOP).unwrap();
    let answered = load.answered();
    eventually("visitors are served without the database", Duration::from_secs(20), || async {
        if load.answered() > answered + 200 { Ok(()) } else { Err(load.answered().to_string()) }
    })
    .await;
    nix::sys::signal::kill(database, Signal::SIGCONT).unwrap();
    let commit = repository.commit(&[("version", "2\n")], "After").await.unwrap();
    repository.push().await.unwrap();
    cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
    owner.live(&project, &commit).await;
    let seen = load.finish().await;
    assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    cluster.assert_consistent().await;
}
