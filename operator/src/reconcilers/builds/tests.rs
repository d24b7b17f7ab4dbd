use zeitwork_database::join;
use zeitwork_database::testing::{execute, texts};
use zeitwork_stand_ins::github::Fault;

use super::*;
use crate::reconcilers::testing::TestWorld;
use crate::reconcilers::{Nodes, Webhooks};

/// A pushed commit that waits for its build, and a node that builds.
async fn pushed() -> TestWorld {
    let world = TestWorld::start().await;
    let repository = world.github.repository("acme/shop").await.unwrap();
    world.project(&repository).await;
    repository.commit(&[("a", "1")], "First").await.unwrap();
    repository.push().await.unwrap();
    world.store_since(0).await;
    world.settle(&mut Webhooks::new(&world.world)).await;
    join::ensure(&mut *world.sql().await, "node-a", &[7; 32]).await.unwrap();
    // It has reported, and that was taken in.
    let ready = "update nodes set status = 'ready', reported_at = now() + interval '1 hour';
        insert into node_reports (node_id, report, reported_at)
        select id, '{}', reported_at from nodes";
    execute(&world.database.owner, ready).await;
    world
}

async fn state(world: &TestWorld) -> String {
    let state = "select status || ' ' || attempt || ' of ' || maximum_attempts || ' '
        || coalesce(reason_code, '-') from builds";
    texts(&world.database.owner, state).await.pop().unwrap_or_default()
}

async fn pass_until(world: &TestWorld, builds: &mut Builds, wanted: &str) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while state(world).await != wanted {
        assert!(std::time::Instant::now() < deadline, "{}", state(world).await);
        builds.pass().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_waits_with_a_reason_while_github_is_away_and_loses_no_attempt() {
    let world = pushed().await;
    let mut builds = Builds::new(&world.world);
    world.github.fail_next([Fault::Status(500)]);
    builds.pass().await.unwrap();
    assert_eq!(state(&world).await, "queued 0 of 3 source_unavailable");
    let reason = "select status || ': ' || reason_text from deployments";
    let told = texts(&world.database.owner, reason).await;
    assert_eq!(
        told,
        ["queued: The repository cannot be read: GitHub does not answer at the moment; it is \
            asked again."]
    );
    pass_until(&world, &mut builds, "running 1 of 3 -").await;
    let told = texts(&world.database.owner, reason).await;
    assert_eq!(told, ["building: node-a builds the image (attempt 1 of at most 3)."]);
    // GitHub goes away between the claim and the node's target.
    let installation = "select installation_id::text from projects";
    let installation = texts(&world.database.owner, installation).await[0].parse().unwrap();
    world.world.outside.github.as_ref().unwrap().forget_tokens(installation);
    world.github.fail_next([Fault::Status(500)]);
    Nodes::new(&world.world).pass().await.unwrap();
    assert_eq!(state(&world).await, "queued 1 of 4 source_unavailable");
    pass_until(&world, &mut builds, "running 2 of 4 -").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_whose_source_stays_away_fails_at_its_deadline_for_that_reason() {
    let world = pushed().await;
    let mut builds = Builds::new(&world.world);
    world.github.fail_next([Fault::Status(500)]);
    builds.pass().await.unwrap();
    execute(&world.database.owner, "update builds set deadline_at = now()").await;
    builds.pass().await.unwrap();
    assert_eq!(state(&world).await, "failed 0 of 3 source_unavailable");
}
