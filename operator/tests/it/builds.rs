//! Builds: leases, attempts, reuse, and what becomes of those that wait.

use zeitwork_database::testing::{execute, execute_in};

use crate::agent::Fate;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_build_leaves_the_old_one_live() {
    let world = World::new().await;
    let first = world.push('a').await;
    world.until_deployment(first, "live").await;
    world.agent.build('b', Fate::Fails("RUN make: exit code 2".into()));
    let second = world.push('b').await;
    world.until_deployment(second, "failed").await;
    assert_eq!(world.deployment(second).await.1, "RUN make: exit code 2");
    world.until_deployment(first, "live").await;
    world.until("select status from wishes order by generation desc limit 1", "failed").await;
    assert!(!world.edge.went_dark());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_input_is_built_once() {
    let world = World::new().await;
    let first = world.push('a').await;
    world.until_deployment(first, "live").await;
    let again = world.push('a').await;
    assert_ne!(first, again);
    world.until_deployment(again, "live").await;
    world.until("select count(*) from builds", "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_leads_to_the_next_attempt() {
    let world = World::new().await;
    world.agent.build('a', Fate::Never("build".into()));
    let deployment = world.push('a').await;
    world.until("select status || ' ' || attempt from builds", "running 1").await;
    world.until("select step from builds", "build").await;
    world.silence_agent().await;
    execute(&world.database.owner, "update builds set lease_until = now() - interval '1 s'").await;
    world.until("select status || ' ' || attempt from builds", "running 2").await;
    world.agent.build('a', Fate::Well);
    world.agent.freeze(false).await;
    world.until_deployment(deployment, "live").await;
    let attempts: Vec<i32> = world.agent.builds_seen().into_iter().map(|(_, n)| n).collect();
    assert_eq!(attempts, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_an_earlier_attempt_is_refused() {
    let world = World::new().await;
    world.agent.report_stale('a');
    let deployment = world.push('a').await;
    world.until("select status || ' ' || attempt from builds", "running 1").await;
    let before = world.one("select reported_at from nodes").await;
    let later =
        format!("select reported_at > '{before}'::timestamptz + interval '0.2 s' from nodes");
    world.until(&later, "true").await;
    assert_eq!(world.deployment(deployment).await.0, "building");
    world.until("select count(*) from images", "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_whose_attempts_are_used_up_fails_with_a_reason() {
    let world = World::new().await;
    world.agent.build('a', Fate::Never("build".into()));
    let deployment = world.push('a').await;
    world.until("select status from builds", "running").await;
    world.silence_agent().await;
    execute(
        &world.database.owner,
        "update builds set attempt = maximum_attempts, lease_until = now() - interval '1 s'",
    )
    .await;
    world.until_deployment(deployment, "failed").await;
    let reason = world.deployment(deployment).await.1;
    assert_eq!(reason, "The builder fell silent in each of 3 attempts.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_push_ends_the_build_of_the_older() {
    let world = World::new().await;
    world.agent.build('a', Fate::Never("build".into()));
    let first = world.push('a').await;
    world.until("select status from builds", "running").await;
    let second = world.push('b').await;
    world.until_deployment(second, "live").await;
    assert_eq!(world.deployment(first).await.0, "superseded");
    world.until("select count(*) from builds where status = 'superseded'", "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_leaves_its_node_at_once() {
    let world = World::new().await;
    world.agent.build('a', Fate::Never("build".into()));
    let deployment = world.push('a').await;
    world.until("select status from builds", "running").await;
    execute(&world.database.owner, "update builds set cancel_requested_at = now()").await;
    world.until_deployment(deployment, "cancelled").await;
    world.until("select jsonb_array_length(target->'builds') from node_targets", "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_builder_a_build_fails_with_a_reason() {
    let world = World::new().await;
    execute(&world.database.owner, "update nodes set builder = false").await;
    let deployment = world.push('a').await;
    world.until("select status from builds", "queued").await;
    execute(&world.database.owner, "update builds set deadline_at = now()").await;
    world.until_deployment(deployment, "failed").await;
    assert!(world.deployment(deployment).await.1.starts_with("No builder was ready"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_builder_says_so() {
    let world = World::new().await;
    execute(&world.database.owner, "update nodes set builder = false").await;
    let deployment = world.push('a').await;
    let told = format!("select reason_text from deployments where id = '{}'", deployment.0);
    world.until(&told, "Waits for a builder: no node with the builder role is ready.").await;
    world.agent.build('a', Fate::Never("build".into()));
    execute(&world.database.owner, "update nodes set builder = true").await;
    world.until(&told, "node-a builds the image (attempt 1 of at most 3).").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_outlives_its_build_by_two_minutes_and_no_longer() {
    let world = World::new().await;
    world.agent.build('a', Fate::Never("build".into()));
    let deployment = world.push('a').await;
    world.until_deployment(deployment, "building").await;
    let longer = "select d.deadline_at - b.deadline_at from deployments d
        join builds b on b.id = d.build_id";
    world.until(longer, "00:02:00").await;
    // The next attempt has a deadline of its own.
    world.silence_agent().await;
    execute(&world.database.owner, "update builds set lease_until = now() - interval '1 s'").await;
    world.until("select status || ' ' || attempt from builds", "running 2").await;
    world.until(longer, "00:02:00").await;
    execute(&world.database.owner, "update deployments set deadline_at = now()").await;
    world.until_deployment(deployment, "failed").await;
    assert_eq!(world.deployment(deployment).await.1, "Its build did not end in time.");
    world.until("select status from builds", "superseded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_and_the_end_of_a_build_never_wait_for_each_other() {
    let world = World::new().await;
    world.agent.build('a', Fate::Never("build".into()));
    let first = world.push('a').await;
    world.until_deployment(first, "building").await;
    let lock =
        format!("select id from environments where id = '{}' for update", world.environment.0);
    let mut wishing = world.database.owner.begin().await.unwrap();
    execute_in(&mut wishing, &lock).await;
    world.agent.build('a', Fate::Fails("exit code 1".into()));
    // The end of the build waits for whoever wishes.
    let waits = "select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock'
        and query like '%environments%' and datname = current_database()";
    world.until(waits, "true").await;
    let second = world.push_in(&mut wishing, 'b').await;
    wishing.commit().await.unwrap();
    world.until_deployment(second, "live").await;
    world.until_deployment(first, "superseded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_is_given_no_build_although_it_is_not_lost_yet() {
    let world = World::new().await;
    world.until("select status from nodes", "ready").await;
    let silent = "create function late() returns trigger language plpgsql as $$ begin
            new.reported_at := now() - interval '12 seconds'; return new;
        end $$;
        create trigger late before insert or update on node_reports
            for each row execute function late()";
    execute(&world.database.owner, silent).await;
    let is_silent = "select reported_at < now() - interval '11 seconds' from node_reports";
    world.until(is_silent, "true").await;
    let deployment = world.push('a').await;
    let told = format!("select reason_text from deployments where id = '{}'", deployment.0);
    world.until(&told, "Waits for a builder: no node with the builder role is ready.").await;
    world.until("select status || ' ' || attempt from builds", "queued 0").await;
    execute(&world.database.owner, "drop trigger late on node_reports").await;
    world.until_deployment(deployment, "live").await;
}
