//! Nodes that are lost, emptied, and come back.

use std::time::Instant;

use zeitwork_database::testing::{FACT_LIMIT, execute};

use crate::agent::{Agent, Fate};
use crate::world::World;

/// Gives the other node every image, as a registry or a transfer would.
async fn copy_images(world: &World) {
    execute(
        &world.database.owner,
        "insert into image_locations (image_id, node_id, engine_image)
        select i.id, n.id, i.content_id from images i, nodes n
        on conflict do nothing",
    )
    .await;
}

/// What 20 s of silence come to, said again until a pass that had looked before is over.
async fn fall_silent(world: &World, state: &str) {
    let deadline = Instant::now() + FACT_LIMIT;
    while world.one(state).await != "failed node_lost" {
        assert!(Instant::now() < deadline, "{}", world.one(state).await);
        execute(
            &world.database.owner,
            "update node_reports r set reported_at = now() - interval '1 minute'
            from nodes n where n.id = r.node_id and n.name = 'node-a';
            update nodes set status = 'lost' where name = 'node-a'",
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_of_a_lost_node_are_replaced_and_stop_when_it_returns() {
    let world = World::new().await;
    let deployment = world.push('a').await;
    world.until_deployment(deployment, "live").await;
    let lost = world.agent.instances_wanted()[0].id;
    let other = Agent::join(&world.database, "node-b", 21, &world.life).await;
    world.until("select status from nodes where name = 'node-b'", "ready").await;
    copy_images(&world).await;
    world.agent.freeze(true).await;
    let state =
        format!("select status || ' ' || reason_code from instances where id = '{}'", lost.0);
    fall_silent(&world, &state).await;
    let [new] = &other.instances_wanted()[..] else { panic!("one instance on the other node") };
    assert!(world.edge.routed().contains(&new.id));
    assert!(!world.edge.went_dark());
    world.agent.freeze(false).await;
    world.until("select status from nodes where name = 'node-a'", "ready").await;
    world
        .until(
            "select jsonb_array_length(t.target->'instances') from node_targets t
            join nodes n on n.id = t.node_id where n.name = 'node-a'",
            "0",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_is_left_without_a_dark_moment() {
    let world = World::new().await;
    let deployment = world.push('a').await;
    world.until_deployment(deployment, "live").await;
    let other = Agent::join(&world.database, "node-b", 21, &world.life).await;
    world.until("select status from nodes where name = 'node-b'", "ready").await;
    copy_images(&world).await;
    execute(&world.database.owner, "update nodes set status = 'draining' where name = 'node-a'")
        .await;
    world.until("select status from nodes where name = 'node-a'", "drained").await;
    assert_eq!(other.instances_wanted().len(), 1);
    assert!(!world.edge.went_dark());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_may_say_nothing_about_what_is_not_its_own() {
    let world = World::new().await;
    let deployment = world.push('a').await;
    world.until_deployment(deployment, "live").await;
    let other = Agent::join(&world.database, "node-b", 21, &world.life).await;
    world.until("select status from nodes where name = 'node-b'", "ready").await;
    other.claim(world.agent.instances_wanted());
    let before = world.one("select reported_at from nodes where name = 'node-b'").await;
    let later = format!(
        "select reported_at > '{before}'::timestamptz + interval '0.2 s' from nodes
        where name = 'node-b'"
    );
    world.until(&later, "true").await;
    world.until("select status from instances", "healthy").await;
    let counted = "select (detail->>'ignored')::int > 0 from reconciler_reports
        where name = 'nodes'";
    world.until(counted, "true").await;
    let shown = "select detail->>'reasons' like '%told of 1 instances or builds that are not its%'
        from reconciler_reports where name = 'nodes'";
    world.until(shown, "true").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_cannot_begin_says_what_keeps_the_node_from_it() {
    let world = World::new().await;
    world.agent.instances('a', Fate::Waits);
    world.agent.problem(Some("the disk is full"));
    let deployment = world.push('a').await;
    let told = format!("select reason_text from deployments where id = '{}'", deployment.0);
    world.until(&told, "0 of 1 instances healthy; node-a: the disk is full").await;
    let code = format!("select reason_code from deployments where id = '{}'", deployment.0);
    world.until(&code, "node_problem").await;
    world.agent.problem(None);
    world.until(&told, "0 of 1 instances healthy; the check has not passed yet").await;
    world.agent.instances('a', Fate::Well);
    world.until_deployment(deployment, "live").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_not_given_out_before_every_edge_has_let_go_of_it() {
    let world = World::new().await;
    let first = world.push('a').await;
    world.until_deployment(first, "live").await;
    world.scale(0).await;
    world.until("select status from instances", "stopped").await;
    world.scale(1).await;
    world.until("select count(*) from instances where status = 'healthy'", "1").await;
    let addresses = "select count(distinct host(address)) || ' of ' || count(*) from endpoints";
    let used = world.one(addresses).await;
    assert!(used == "2 of 2" || used == "1 of 1", "{used}");
    let now = world.agent.instances_wanted();
    assert_eq!(now[0].address.to_string(), "10.90.20.3", "the next one, not the same again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_back_from_silence_as_it_was_asked_to_be() {
    let world = World::new().await;
    world.until("select status from nodes", "ready").await;
    let lost = "update nodes set status = 'lost', returns_to = 'cordoned'";
    execute(&world.database.owner, lost).await;
    world.until("select status || ' ' || returns_to from nodes", "cordoned ready").await;
}
