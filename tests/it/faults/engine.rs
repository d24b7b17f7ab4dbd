//! Docker Engine hangs, or is restarted: an engine of the test's own.

use std::time::{Duration, Instant};

use zeitwork_stand_ins::engine::own::OwnEngine;
use zeitwork_tests::load::Load;
use zeitwork_tests::user::{LIVE_LIMIT, User};
use zeitwork_tests::{Cluster, eventually};

use crate::stories::{live_project, servers};

/// From the engine's return until what is wanted runs again.
const BACK: Duration = Duration::from_secs(20);
/// Longer than a node may be silent before it is lost.
const HANG: Duration = Duration::from_secs(30);

/// A platform on this engine.
pub(super) async fn cluster_on(engine: &OwnEngine, settings: &[(&str, &str)]) -> Cluster {
    let host = engine.host();
    let own = [("DOCKER_HOST", host.as_str())];
    Cluster::start_with(&[&own[..], settings].concat()).await
}

/// The only node, as its operator sees it.
async fn node(owner: &User<'_>) -> serde_json::Value {
    owner.get("/nodes").await["items"][0].clone()
}

async fn node_with(owner: &User<'_>, problem: Option<&str>, limit: Duration) -> String {
    eventually(&format!("the node has the problem {problem:?}"), limit, || async {
        let node = node(owner).await;
        assert_eq!(node["status"], "ready", "{node}");
        let problems = node["problems"].as_array().unwrap();
        let found = problems.iter().find(|p| p["code"] == problem.unwrap_or("engine_away"));
        match (problem, found) {
            (Some(_), Some(found)) => Ok(found["text"].as_str().unwrap().to_owned()),
            (None, None) => Ok(String::new()),
            _ => Err(node.to_string()),
        }
    })
    .await
}

async fn instance_of(cluster: &Cluster, host: &str) -> String {
    let page = cluster.page_with(host, "instance=", LIVE_LIMIT).await.text();
    page.lines().find_map(|line| line.strip_prefix("instance=")).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_engine_hangs_visitors_are_served_and_the_node_says_why_it_waits() {
    let engine = OwnEngine::start().await.unwrap();
    let cluster = cluster_on(&engine, &[]).await;
    let (owner, project, repository, _) = live_project(&cluster, "acme/hang").await;
    let instance = instance_of(&cluster, &project.host).await;
    let before = servers(&instance);
    assert_eq!(before.len(), 1, "{before:?}");
    let load = Load::start(&[cluster.edge], &project.host, 2);

    let frozen = engine.freeze();
    let began = Instant::now();
    let text = node_with(&owner, Some("engine_away"), HANG).await;
    assert!(text.contains("docker engine") && text.contains("not answer"), "{text}");
    // An agent that starts meanwhile has never seen what runs, and takes nothing from visitors.
    cluster.signal("node-agent", nix::sys::signal::Signal::SIGKILL);
    let commit = repository.commit(&[("version", "2\n")], "Meanwhile").await.unwrap();
    cluster.push(&repository).await;
    eventually("the hang outlasts a node's silence", HANG * 2, || async {
        let node = node(&owner).await;
        assert_eq!(node["status"], "ready", "{node}");
        let left = HANG.checked_sub(began.elapsed());
        left.map_or(Ok(()), |left| Err(format!("{left:?} left")))
    })
    .await;
    assert_eq!(servers(&instance), before, "the same process serves");
    node_with(&owner, Some("engine_away"), LIVE_LIMIT).await;

    drop(frozen);
    node_with(&owner, None, LIVE_LIMIT).await;
    cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
    owner.live(&project, &commit).await;
    let seen = load.finish().await;
    assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    let next = instance_of(&cluster, &project.host).await;
    assert_eq!(servers(&next).len(), 1, "nothing is started twice");
    cluster.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_engine_everything_runs_again_and_nothing_twice() {
    let mut engine = OwnEngine::start().await.unwrap();
    let cluster = cluster_on(&engine, &[]).await;
    let (owner, project, repository, commit) = live_project(&cluster, "acme/engine").await;
    let instance = instance_of(&cluster, &project.host).await;
    let mut back = Vec::new();
    for end in [OwnEngine::end, OwnEngine::kill] {
        end(&engine);
        node_with(&owner, Some("engine_away"), LIVE_LIMIT).await;
        engine.begin().await.unwrap();
        let returned = Instant::now();
        cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
        node_with(&owner, None, LIVE_LIMIT).await;
        back.push(returned.elapsed());
        assert_eq!(instance_of(&cluster, &project.host).await, instance, "the same instance");
        assert_eq!(servers(&instance).len(), 1, "one process of it");
    }
    // The better of both: a machine may have been busy with something else once.
    assert!(back.iter().min() < Some(&BACK), "{back:?}");
    let next = repository.commit(&[("version", "2\n")], "After").await.unwrap();
    cluster.push(&repository).await;
    cluster.page_with(&project.host, &format!("commit={next}"), LIVE_LIMIT).await;
    owner.live(&project, &next).await;
    cluster.assert_consistent().await;
}
