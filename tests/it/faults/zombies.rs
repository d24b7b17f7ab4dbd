//! Who stood still while somebody else took the work over finds that it has nothing to say.

use std::time::{Duration, Instant};

use hyper::Method;
use nix::sys::signal::Signal;
use serde_json::json;
use zeitwork_tests::failpoints::Failpoints;
use zeitwork_tests::load::Load;
use zeitwork_tests::process::{self, Frozen, Part};
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, eventually};

use crate::stories::{live_project, own_sleep, wait_for};

/// Longer than a plan is carried out.
const PLAN_LIFE: Duration = Duration::from_secs(11);

#[tokio::test(flavor = "multi_thread")]
async fn the_result_of_a_build_whose_lease_was_lost_is_refused() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, _) = live_project(&cluster, "acme/late").await;
    let dockerfile = std::fs::read_to_string(crate::stories::app("web").join("Dockerfile"));
    // It lasts until somebody ends it.
    let sleep = own_sleep(400_000);
    let run = format!("COPY . .\nRUN {}|| true\n", sleep.replace('\0', " "));
    let slow = dockerfile.unwrap().replacen("COPY . .\n", &run, 1);
    assert!(slow.contains("RUN sleep"), "{slow}");
    let end = || process::signal(&process::with(Part::Command, &sleep), Signal::SIGKILL);
    let commit = repository.commit(&[("Dockerfile", &slow)], "Slow").await.unwrap();
    cluster.push(&repository).await;
    let builds = format!("/projects/{}/builds", project.id);
    let build_is = async |wanted: &str| {
        eventually(&format!("the build is {wanted}"), LIVE_LIMIT, || async {
            if wanted == "succeeded 2" {
                end();
            }
            let page = owner.call(Method::GET, &builds, None).await?.json();
            let build = page["items"][0].clone();
            let is =
                format!("{} {}", build["status"].as_str().unwrap_or_default(), build["attempt"]);
            if build["commit"] == commit && is == wanted { Ok(()) } else { Err(build.to_string()) }
        })
        .await;
    };
    build_is("running 1").await;
    wait_for(&sleep).await;
    // The engine goes on and ends the build; its agent has nothing to say before it wakes up.
    let frozen = Frozen::new(vec![cluster.pid("node-agent").unwrap()]);
    end();
    build_is("queued 1").await;
    drop(frozen);
    build_is("succeeded 2").await;
    owner.live(&project, &commit).await;
    cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
    cluster.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_operator_finishes_the_work_of_one_that_stands_still() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, _) = live_project(&cluster, "acme/two-operators").await;
    let points = Failpoints::of_operator(&cluster);
    let load = Load::start(&[cluster.edge], &project.host, 2);
    // It holds the locks of a transaction that it does not commit.
    points.arm(["rollouts.go_live.before"], "hold");
    let second = repository.commit(&[("version", "2\n")], "Second").await.unwrap();
    cluster.push(&repository).await;
    points.until_held().await;
    let frozen = Frozen::new(vec![cluster.pid("operator").unwrap()]);
    let other = cluster.another_operator();
    owner.live(&project, &second).await;
    points.let_go();
    drop(frozen);
    drop(other);

    // And it holds a plan, to take out of service what serves by the time it wakes up.
    points.arm(["rollouts.go_live.after"], "hold");
    let third = repository.commit(&[("version", "3\n")], "Third").await.unwrap();
    cluster.push(&repository).await;
    points.until_held().await;
    points.arm(["rollouts.environment.before"], "hold");
    points.let_go();
    points.until_held().await;
    let (frozen, since) = (Frozen::new(vec![cluster.pid("operator").unwrap()]), Instant::now());
    let other = cluster.another_operator();
    rests(&cluster, &second).await;
    let path = format!("/projects/{}/environments/production/rollback", project.id);
    owner.send(Method::POST, &path, &json!({})).await;
    owner.live(&project, &second).await;
    rests(&cluster, &third).await;
    eventually("the plan is too old", PLAN_LIFE * 2, || async {
        let age = since.elapsed();
        if age > PLAN_LIFE { Ok(()) } else { Err(format!("{age:?}")) }
    })
    .await;
    points.arm(["rollouts.drain.after", "rollouts.environment.after"], "note");
    points.let_go();
    drop(frozen);
    is_thrown_away(&points).await;
    drop(other);

    let fourth = repository.commit(&[("version", "4\n")], "Fourth").await.unwrap();
    cluster.push(&repository).await;
    owner.live(&project, &fourth).await;
    cluster.page_with(&project.host, &format!("commit={fourth}"), LIVE_LIMIT).await;
    let seen = load.finish().await;
    assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    cluster.assert_consistent().await;
}

/// Waits until the one instance of a commit rests.
async fn rests(cluster: &Cluster, commit: &str) {
    let resting = format!(
        "select count(*) from instances i join deployments d on d.id = i.deployment_id \
        where i.goal = 'pause' and d.commit_sha = '{commit}'"
    );
    eventually(&format!("{commit} rests"), LIVE_LIMIT, || async {
        let resting = cluster.sql().run(&resting).await;
        if resting == "1" { Ok(()) } else { Err(resting) }
    })
    .await;
}

/// Waits until the plan that was held is over, without an instance taken out of service.
async fn is_thrown_away(points: &Failpoints) {
    eventually("the old plan was thrown away", LIVE_LIMIT, || async {
        let hit = points.hit();
        assert!(!hit.iter().any(|place| place == "rollouts.drain.after"), "{hit:?}");
        let over = hit.iter().any(|place| place == "rollouts.environment.after");
        if over { Ok(()) } else { Err(format!("{hit:?}")) }
    })
    .await;
}
