//! What serves goes on serving, whatever is pushed.

use std::time::Duration;

use hyper::Method;
use nix::sys::signal::Signal;
use serde_json::json;
use zeitwork_tests::load::Load;
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, eventually};

use super::{app, live_project};

/// How long an edge stands still: within its lease of 15 s.
const FROZEN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_a_push_replaces_what_serves_behind_two_edges() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, _) = live_project(&cluster, "acme/two-edges").await;
    let second_edge = cluster.another_edge().await;
    let load = Load::start(&[cluster.edge, second_edge.address], &project.host, 8);

    let second = repository.commit(&[("version", "2\n")], "Sell").await.unwrap();
    repository.push().await.unwrap();
    cluster.page_with(&project.host, &format!("commit={second}"), LIVE_LIMIT).await;
    owner.live(&project, &second).await;
    let answered = load.answered();
    eventually("more answers of the new one", Duration::from_secs(10), || async {
        if load.answered() > answered + 100 { Ok(()) } else { Err(load.answered().to_string()) }
    })
    .await;
    let seen = load.finish().await;
    assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    cluster.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_was_frozen_during_the_switch_still_finds_who_answers() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, _) = live_project(&cluster, "acme/frozen").await;
    let frozen = cluster.another_edge().await;
    let load = Load::start(&[cluster.edge], &project.host, 4);

    let before = owner.healthy(&project).await;
    frozen.signal(Signal::SIGSTOP);
    let stopped = tokio::time::Instant::now();
    let second = repository.commit(&[("version", "2\n")], "Sell").await.unwrap();
    repository.push().await.unwrap();
    eventually("the new instance is healthy", LIVE_LIMIT, || async {
        let now = owner.healthy(&project).await;
        if now.len() > before.len() { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    // The fault itself: ten seconds, less than the lease that the frozen edge holds.
    tokio::time::sleep_until(stopped + FROZEN).await;
    // Until it acknowledges, the old instance stays and the new deployment is not called live.
    let deployments = owner.get(&format!("/projects/{}/deployments", project.id)).await;
    assert_eq!(deployments["items"][0]["commit"], second, "{deployments}");
    assert_eq!(deployments["items"][0]["status"], "starting", "{deployments}");
    assert!(owner.healthy(&project).await.is_superset(&before), "the old instance serves");
    frozen.signal(Signal::SIGCONT);
    let thawed = Load::start(&[frozen.address], &project.host, 4);
    owner.live(&project, &second).await;
    for load in [load, thawed] {
        let seen = load.finish().await;
        assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    }
    cluster.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_push_says_why_and_leaves_the_old_one_live() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, first) = live_project(&cluster, "acme/bad").await;
    let patch =
        json!({"health": {"path": null, "interval_ms": 1000, "timeout_ms": 500, "grace_ms": 4000}});
    let path = format!("/projects/{}/environments/production", project.id);
    owner.send(Method::PATCH, &path, &patch).await;
    let load = Load::start(&[cluster.edge], &project.host, 4);

    for (name, expected) in [
        ("failing-build", "exit code"),
        ("crash", "exit"),
        ("never-healthy", "nothing listens"),
        ("localhost-only", "127.0.0.1"),
    ] {
        let commit = repository.commit_directory(&app(name), name).await.unwrap();
        repository.push().await.unwrap();
        let deployment = owner.settled(&project, &commit).await;
        assert_eq!(deployment["status"], "failed", "{name}: {deployment}");
        let text = deployment["reason"]["text"].as_str().unwrap();
        assert!(text.contains(expected), "{name}: {text}");
        let page = cluster.visit(&project.host, "/").await.unwrap();
        assert!(page.text().contains(&format!("commit={first}")), "{name}: {}", page.text());
    }
    let seen = load.finish().await;
    assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    cluster.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_up_and_down_loses_no_request_and_shows_every_instance() {
    let cluster = Cluster::start().await;
    let (owner, project, _, _) = live_project(&cluster, "acme/scale").await;
    let load = Load::start(&[cluster.edge], &project.host, 4);
    let path = format!("/projects/{}/environments/production/scale", project.id);
    owner.send(Method::POST, &path, &json!({"replicas": 3})).await;
    let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
    eventually("three instances answer", LIVE_LIMIT, || async {
        let page = cluster.visit(&project.host, "/").await?;
        let text = page.text();
        let line = text.lines().find(|line| line.starts_with("instance=")).unwrap_or_default();
        let mut seen = seen.lock().unwrap();
        seen.insert(line.to_owned());
        if seen.len() >= 3 { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    owner.send(Method::POST, &path, &json!({"replicas": 1})).await;
    let instances = format!("/instances?project={}", project.id);
    eventually("one instance is left", LIVE_LIMIT, || async {
        let page = owner.get(&instances).await;
        let healthy = page["items"].as_array().unwrap().iter().filter(|i| i["status"] == "healthy");
        let healthy = healthy.count();
        if healthy == 1 { Ok(()) } else { Err(page.to_string()) }
    })
    .await;
    let seen = load.finish().await;
    assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    cluster.assert_consistent().await;
}
