//! States that nobody would end: each has somebody who does.

use zeitwork_database::testing::execute;
use zeitwork_model::instance::InstanceGoal;

use crate::world::World;

const HEALTHY: &str = "select count(*) from instances where status = 'healthy'";

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_unhealthy_is_replaced() {
    let world = World::new().await;
    let deployment = world.push('a').await;
    world.until_deployment(deployment, "live").await;
    let sick = world.agent.instances_wanted()[0].id;
    world.agent.sicken(sick);
    is_replaced(&world, sick).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_once_it_is_thawed_is_replaced() {
    let world = World::new().await;
    let deployment = world.push('a').await;
    world.until_deployment(deployment, "live").await;
    let frozen = world.agent.instances_wanted()[0].id;
    let pause = |paused| format!("update environments set paused_at = {paused}");
    execute(&world.database.owner, &pause("now()")).await;
    world.until("select goal from instances", "pause").await;
    world.agent.sicken(frozen);
    execute(&world.database.owner, &pause("null")).await;
    is_replaced(&world, frozen).await;
}

/// Waits until an instance is unhealthy, ends its time, and looks for its one successor.
async fn is_replaced(world: &World, sick: zeitwork_model::id::InstanceId) {
    let row = format!("select status || ' ' || goal from instances where id = '{}'", sick.0);
    world.until(&row, "unhealthy run").await;
    world.until("select count(*) from instances", "1").await;
    execute(&world.database.owner, "update instances set deadline_at = now()").await;
    world.until(&row, "stopped stop").await;
    world.until(HEALTHY, "1").await;
    let mut wanted = world.agent.instances_wanted().into_iter();
    let successor = wanted.find(|i| i.goal == InstanceGoal::Run).unwrap().id;
    let id = format!("\"{successor}\"");
    world.until("select route->'endpoints'->0->'instance' from routes", &id).await;
    assert_eq!(world.one("select count(*) from instances").await, "2", "no more were started");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_instance_with_unreadable_variables_holds_up_no_other() {
    let world = World::new().await;
    let good = world.push('a').await;
    world.until_deployment(good, "live").await;
    world.set_variable("GREETING", "hello").await;
    let broken = "update variables set ciphertext = decode('00', 'hex')";
    execute(&world.database.owner, broken).await;
    let bad = world.push('b').await;
    world.until_deployment(bad, "failed").await;
    let (_, reason) = world.deployment(bad).await;
    assert!(reason.contains("its variables cannot be opened"), "{reason}");
    world.scale(2).await;
    world.until(HEALTHY, "2").await;
    let open =
        "select count(*) from instances where status not in ('healthy', 'failed', 'stopped')";
    world.until(open, "0").await;
    assert!(!world.edge.went_dark());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_silences_no_node() {
    let world = World::new().await;
    world.until("select count(*) from nodes where reported_at is not null", "1").await;
    // Each report that is taken in writes it: the last one of a clock that was ahead.
    let ahead = "update nodes set reported_at = now() + interval '1 hour'";
    execute(&world.database.owner, ahead).await;
    let deployment = world.push('a').await;
    world.until_deployment(deployment, "live").await;
    world.until("select reported_at < now() + interval '1 minute' from nodes", "true").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_seen_what_the_database_forgot_is_heard_again() {
    let world = World::new().await;
    let deployment = world.push('a').await;
    world.until_deployment(deployment, "live").await;
    let quiet = "select count(*) from nodes n join node_targets t on t.node_id = n.id
        join node_reports r on r.node_id = n.id
        where (r.report->'applied'->>'generation')::bigint = t.generation";
    world.until(quiet, "1").await;
    let back = "update node_targets set generation = generation - 3";
    execute(&world.database.owner, back).await;
    world.scale(2).await;
    world.until(HEALTHY, "2").await;
}
