//! What serves goes on serving, whatever is pushed.

use std::time::Duration;

use hyper::Method;
use nix::sys::signal::Signal;
use serde_json::json;
use zeitwork_stand_ins::github::Repository;
use zeitwork_tests::cluster::Edge;
use zeitwork_tests::load::Load;
use zeitwork_tests::user::{LIVE_LIMIT, Project};
use zeitwork_tests::{Cluster, eventually};

use super::{app, live_project, processes};

/// How long an edge stands still: within its lease of 15 s.
const FROZEN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_a_push_replaces_what_serves_behind_two_edges() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, _) = live_project(&cluster, "acme/two-edges").await;
    let second_edge = cluster.another_edge().await;
    let load = Load::start(&[cluster.edge, second_edge.address], &project.host, 8);

    let second = repository.commit(&[("version", "2\n")], "Sell").await.unwrap();
    cluster.push(&repository).await;
    cluster.page_with(&project.host, &format!("commit={second}"), LIVE_LIMIT).await;
    owner.live(&project, &second).await;
    let answered = load.answered();
    eventually("more answers of the new one", LIVE_LIMIT, || async {
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
    let (_, project, repository, _) = live_project(&cluster, "acme/frozen").await;
    let edge = cluster.another_edge().await;
    let load = Load::start(&[cluster.edge], &project.host, 4);
    let mut rounds = 2..7;
    let thawed = loop {
        let version = rounds.next().expect("a switch that is quicker than a lease");
        let round = switch_while_frozen(&cluster, &project, &repository, &edge, version);
        if let Some(thawed) = round.await {
            break thawed;
        }
    };
    for load in [load, thawed] {
        let seen = load.finish().await;
        assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    }
    cluster.assert_consistent().await;
}

/// Freezes an edge while the next version is switched to; returns the visitors who come to it from
/// the moment it thaws. None where the machine was so slow that its lease ended meanwhile: another
/// fault, in which nobody waits for it.
async fn switch_while_frozen(
    cluster: &Cluster,
    project: &Project,
    repository: &Repository,
    edge: &Edge,
    version: u32,
) -> Option<Load> {
    let owner = cluster.owner();
    let before = eventually("one instance serves", LIVE_LIMIT, || async {
        let now = owner.healthy(project).await;
        if now.len() == 1 { Ok(now) } else { Err(format!("{now:?}")) }
    })
    .await;
    // Its server waits for a file, so that nothing is measured but the switch.
    let start = std::fs::read_to_string(app("web").join("start")).unwrap();
    let held = format!("while ! test -e /go; do sleep 0.1; done\n{start}");
    let files = [("start", held.as_str()), ("version", &format!("{version}\n"))];
    let commit = repository.commit(&files, "Sell").await.unwrap();
    cluster.push(repository).await;
    let go = eventually("the new instance waits", LIVE_LIMIT, || async {
        let page = owner.get(&format!("/instances?project={}", project.id)).await;
        let ids = page["items"].as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap());
        let started = ids.filter(|id| !before.contains(*id)).flat_map(processes).next();
        started.map(|pid| format!("/proc/{pid}/root/go")).ok_or_else(|| page.to_string())
    })
    .await;
    let mut sql = cluster.sql();
    edge.signal(Signal::SIGSTOP);
    let stopped = tokio::time::Instant::now();
    std::fs::write(go, "").unwrap();
    eventually("the new instance is healthy", LIVE_LIMIT, || async {
        let now = owner.healthy(project).await;
        if now.len() > before.len() { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    // The fault itself: ten seconds, less than the lease that the frozen edge holds.
    tokio::time::sleep_until(stopped + FROZEN).await;
    let deployments = owner.get(&format!("/projects/{}/deployments", project.id)).await;
    let now = owner.healthy(project).await;
    let leases = "select count(*) from edges where lease_until > now()";
    let is_waited_for = sql.run(leases).await == "2";
    edge.signal(Signal::SIGCONT);
    let thawed = is_waited_for.then(|| {
        // Until it acknowledges, the old instance stays and the new deployment is not called live.
        assert_eq!(deployments["items"][0]["commit"], commit, "{deployments}");
        assert_eq!(deployments["items"][0]["status"], "starting", "{deployments}");
        assert!(now.is_superset(&before), "the old instance serves: {now:?}");
        Load::start(&[edge.address], &project.host, 4)
    });
    owner.live(project, &commit).await;
    thawed
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
        cluster.push(&repository).await;
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
