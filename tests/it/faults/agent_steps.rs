//! The node agent dies at every step that it can take, its first start included: what runs is
//! adopted, nothing runs or is built twice, no line is lost or doubled, and visitors notice nothing.
//!
//! The steps are read from its sources: one that no story reaches fails the test.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::json;
use zeitwork_tests::failpoints::Failpoints;
use zeitwork_tests::load::Load;
use zeitwork_tests::user::{LIVE_LIMIT, Project, User};
use zeitwork_tests::{Cluster, engine, eventually};

use super::lines::{deployed, until_told, was_told_once};
use crate::stories::live_project;

/// Steps that [`super::space`] leads to.
pub(super) const ON_A_FULL_DISK: [&str; 2] = ["images.remove", "space.prune"];
/// Steps that a base image of a registry leads to.
const FROM_A_REGISTRY: [&str; 2] = ["builds.pull", "builds.remember"];
/// Nothing listens there; that the engine asks is enough.
const REGISTRY: &str = "FROM 127.0.0.1:9/acme/base\nRUN true\n";

/// The places of these steps.
pub(super) fn places(points: &Failpoints, of: impl Fn(&str) -> bool) -> Vec<&str> {
    let step = |place: &str| place.rsplit_once('.').is_some_and(|(step, _)| of(step));
    points.known().iter().map(String::as_str).filter(|place| step(place)).collect()
}

/// Waits until the agent has died at each of these places.
pub(super) async fn past(points: &Failpoints, what: &str, is_meant: impl Fn(&str) -> bool) {
    eventually(what, LIVE_LIMIT, || async {
        let left: Vec<String> =
            points.armed().into_iter().filter(|place| is_meant(place)).collect();
        if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_dies_at_every_step_keeps_every_promise() {
    let mut cluster = Cluster::prepare(&[("ZEITWORK_EGRESS_ALLOW", "127.0.0.0/8")]).await;
    let points = Failpoints::of_agent(&cluster);
    let is_build = |step: &str| step.starts_with("builds.") && step != "builds.clear";
    let is_here = |step: &str| !is_build(step) && !ON_A_FULL_DISK.contains(&step);
    // The process replaces itself: a supervisor's pause is not what this is about.
    points.arm(places(&points, is_here), "again");
    cluster.start(&[]).await;
    let (owner, project, repository, first) = live_project(&cluster, "acme/steps").await;
    let load = Load::start(&[cluster.edge], &project.host, 2);
    let teller = deployed(&cluster, &owner, "teller").await;
    let stubborn = deployed(&cluster, &owner, "stubborn").await;
    owner.send(Method::DELETE, &format!("/projects/{}", stubborn.id), &json!({})).await;

    let is_local = |step: &str| is_build(step) && !FROM_A_REGISTRY.contains(&step);
    points.arm(places(&points, is_local), "again");
    let before = points.hit().len();
    let second = repository.commit(&[("version", "2\n")], "Second").await.unwrap();
    repository.push().await.unwrap();
    cluster.page_with(&project.host, &format!("commit={second}"), LIVE_LIMIT).await;
    owner.live(&project, &second).await;
    is_built_once_a_life(&cluster, &owner, &project, &second, points.hit().len() - before).await;
    past(&points, "the replaced instance rests", |place| place.contains("instances.pause")).await;
    let path = format!("/projects/{}/environments/production/rollback", project.id);
    owner.send(Method::POST, &path, &json!({})).await;
    cluster.page_with(&project.host, &format!("commit={first}"), LIVE_LIMIT).await;

    points.arm(places(&points, |step| FROM_A_REGISTRY.contains(&step)), "again");
    let based = cluster.github.repository("acme/based").await.unwrap();
    let pulling = owner.create_project("based", "acme/based").await;
    based.commit(&[("Dockerfile", REGISTRY)], "Open").await.unwrap();
    based.push().await.unwrap();
    past(&points, "every step was died at", |_| true).await;
    owner.send(Method::DELETE, &format!("/projects/{}", pulling.id), &json!({})).await;

    let seen = load.finish().await;
    assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    nothing_runs_twice(&cluster, &owner).await;
    let told = until_told(&owner, &teller, 1).await;
    until_told(&owner, &teller, told + 500).await;
    was_told_once(&owner, &teller).await;
    cluster.assert_consistent().await;
}

/// Each life of the agent began the build at most once, and it is one build to the operator.
async fn is_built_once_a_life(
    cluster: &Cluster,
    owner: &User<'_>,
    project: &Project,
    commit: &str,
    deaths: usize,
) {
    let builds = owner.get(&format!("/projects/{}/builds", project.id)).await;
    let builds = builds["items"].as_array().unwrap().iter();
    let of_commit: Vec<_> = builds.filter(|build| build["commit"] == commit).collect();
    assert_eq!(of_commit.len(), 1, "{of_commit:?}");
    assert_eq!(of_commit[0]["status"], "succeeded", "{of_commit:?}");
    let id = of_commit[0]["id"].as_str().unwrap();
    let log = std::fs::read_to_string(cluster.state.join("log/node-agent.log")).unwrap();
    let begins = log.lines().filter(|it| it.contains("build begins") && it.contains(id)).count();
    assert!((2..=deaths + 1).contains(&begins), "{begins} times after {deaths} deaths");
}

/// The engine has one container for each instance that has not ended, and none was restarted.
async fn nothing_runs_twice(cluster: &Cluster, owner: &User<'_>) {
    let installation = cluster.installation();
    eventually("the engine has what is wanted and no more", LIVE_LIMIT, || async {
        let page = owner.get("/instances?limit=100").await;
        let items = page["items"].as_array().unwrap().iter();
        let open = items.filter(|it| it["status"] != "stopped" && it["status"] != "failed");
        let open: Vec<_> = open.collect();
        assert!(open.iter().all(|it| it["restarts"] == 0), "{open:?}");
        let wanted: BTreeSet<_> = open.iter().map(|it| it["id"].as_str().unwrap()).collect();
        let there = engine::containers(&installation).await;
        let of = |label: &serde_json::Value| {
            label["dev.zeitwork.instance"].as_str().map(str::to_owned).unwrap_or_default()
        };
        let mut there: Vec<String> = there.iter().map(of).collect();
        there.sort();
        if there.iter().eq(wanted.iter()) { Ok(()) } else { Err(format!("{there:?} {wanted:?}")) }
    })
    .await;
}
