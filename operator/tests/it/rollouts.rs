//! From wish to live, and never dark on the way.

use std::time::{Duration, Instant};

use zeitwork_database::testing::execute;
use zeitwork_model::instance::InstanceGoal;

use crate::agent::Fate;
use crate::world::{World, commit};

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_goes_live_and_the_edge_routes_to_it() {
    let world = World::new().await;
    world.set_variable("GREETING", "hello").await;
    let deployment = world.push('a').await;
    world.until_deployment(deployment, "live").await;
    world.until("select status from wishes", "live").await;
    let [instance] = &world.agent.instances_wanted()[..] else { panic!("one instance") };
    assert!(world.edge.routed().contains(&instance.id));
    assert_eq!(instance.port, 3_000, "the image's one exposed port");
    assert_eq!(instance.address.to_string(), "10.90.20.2", "behind network and gateway");
    assert_eq!(instance.names, ["web.shop.internal"]);
    assert_eq!(world.agent.variables(instance)["GREETING"], "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_adds_less_than_a_second() {
    let world = World::new().await;
    // What else this host does adds to it: the best of some pushes is the platform's own.
    let mut best = Duration::MAX;
    for digit in ['a', 'b', 'c', 'd', 'e'] {
        let began = Instant::now();
        let deployment = world.push(digit).await;
        world.until_deployment(deployment, "live").await;
        best = best.min(began.elapsed());
    }
    assert!(best < Duration::from_secs(1), "took {best:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_push_replaces_the_first_without_a_dark_moment() {
    let world = World::new().await;
    world.scale(2).await;
    let first = world.push('a').await;
    world.until_deployment(first, "live").await;
    let second = world.push('b').await;
    world.until_deployment(second, "live").await;
    world.until_deployment(first, "retired").await;
    let resting = format!(
        "select count(*) from instances where deployment_id = '{}' and goal = 'pause'",
        first.0
    );
    world.until(&resting, "2").await;
    assert!(!world.edge.went_dark());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_wakes_what_rests_with_its_own_variables() {
    let world = World::new().await;
    world.set_variable("GREETING", "old").await;
    let first = world.push('a').await;
    world.until_deployment(first, "live").await;
    world.set_variable("GREETING", "new").await;
    let second = world.push('b').await;
    world.until_deployment(second, "live").await;
    world.until("select count(*) from instances where goal = 'pause'", "1").await;
    // There and back: the best of some, because the machine may be busy with something else.
    let mut took = Vec::new();
    loop {
        let began = Instant::now();
        assert_eq!(world.roll_back(first).await, first);
        world.until_deployment(first, "live").await;
        took.push(began.elapsed());
        if took.last() < Some(&Duration::from_secs(1)) {
            break;
        }
        assert!(took.len() < 10, "took {took:?}");
        world.until("select count(*) from instances where goal = 'pause'", "1").await;
        world.roll_back(second).await;
        world.until_deployment(second, "live").await;
        world.until("select count(*) from instances where goal = 'pause'", "1").await;
    }
    let serving = world.agent.instances_wanted();
    let served = serving.iter().find(|i| i.goal == InstanceGoal::Run && i.deployment == first);
    assert_eq!(world.agent.variables(served.unwrap())["GREETING"], "old");
    world.until("select count(*) from instances where status = 'failed'", "0").await;
    world.until("select count(*) from instances", "2").await;
    assert!(!world.edge.went_dark());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_becomes_healthy_leaves_the_old_one_live() {
    let world = World::new().await;
    let first = world.push('a').await;
    world.until_deployment(first, "live").await;
    world.scale(3).await;
    world.until("select count(*) from instances where status = 'healthy'", "3").await;
    world.agent.instances('b', Fate::Never("it answers 500 on /".into()));
    let second = world.push('b').await;
    world.until("select count(*) from instances where status = 'starting'", "3").await;
    execute(
        &world.database.owner,
        &format!(
            "update deployments set starting_at = now() - interval '2 minutes' where id = '{}'",
            second.0
        ),
    )
    .await;
    world.until_deployment(second, "failed").await;
    let (_, reason) = world.deployment(second).await;
    assert_eq!(reason, "0 of 3 instances healthy; it answers 500 on /");
    world.until_deployment(first, "live").await;
    world.until("select status from wishes order by generation desc limit 1", "failed").await;
    world.until("select count(*) from instances where status = 'stopped'", "3").await;
    assert!(!world.edge.went_dark());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crashes_fails_at_once_with_its_reason() {
    let world = World::new().await;
    let first = world.push('a').await;
    world.until_deployment(first, "live").await;
    world.agent.instances('b', Fate::Fails("exit code 1".into()));
    let second = world.push('b').await;
    world.until_deployment(second, "failed").await;
    assert_eq!(world.deployment(second).await.1, "0 of 1 instances healthy; exit code 1");
    world.until_deployment(first, "live").await;
    assert!(!world.edge.went_dark());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_one_stays_until_every_edge_has_the_route_and_nothing_is_in_flight() {
    let world = World::new().await;
    let first = world.push('a').await;
    world.until_deployment(first, "live").await;
    let old = world.agent.instances_wanted()[0].id;
    world.edge.hold(old, true);
    world.edge.freeze(true);
    let second = world.push('b').await;
    world.until("select count(*) from instances where status = 'healthy'", "2").await;
    world
        .until(
            "select count(*) from routes r, instances i
            where r.route->'endpoints' @> jsonb_build_array(jsonb_build_object('address',
                (select host(e.address) || ':' || e.port from endpoints e
                 where e.instance_id = i.id)))
                and i.deployment_id = (select max(id::text)::uuid from deployments)",
            "1",
        )
        .await;
    assert_eq!(world.deployment(second).await.0, "starting", "the frozen edge has not followed");
    world.edge.freeze(false);
    world.until_deployment(second, "live").await;
    let state = format!("select status || ' ' || goal from instances where id = '{}'", old.0);
    world.until(&state, "draining run").await;
    world.edge.hold(old, false);
    world.until(&state, "draining pause").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_makes_no_deployment_and_zero_is_a_number() {
    let world = World::new().await;
    let deployment = world.push('a').await;
    world.until_deployment(deployment, "live").await;
    world.scale(3).await;
    world.until("select count(*) from instances where status = 'healthy'", "3").await;
    world.scale(1).await;
    world.until("select count(*) from instances where status = 'stopped'", "2").await;
    assert!(!world.edge.went_dark());
    world.scale(0).await;
    world.until("select count(*) from instances where status = 'stopped'", "3").await;
    world.until("select jsonb_array_length(route->'endpoints') from routes", "0").await;
    world.scale(1).await;
    world.until("select count(*) from instances where status = 'healthy'", "1").await;
    world.until("select count(*) from deployments", "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_environment_rests_and_resumes() {
    let world = World::new().await;
    let deployment = world.push('a').await;
    world.until_deployment(deployment, "live").await;
    execute(&world.database.owner, "update environments set paused_at = now()").await;
    world.until("select goal from instances", "pause").await;
    execute(&world.database.owner, "update environments set paused_at = null").await;
    world.until("select status || ' ' || goal from instances", "healthy run").await;
    world.until("select count(*) from instances", "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_project_leaves_nothing_running() {
    let world = World::new().await;
    let deployment = world.push('a').await;
    world.until_deployment(deployment, "live").await;
    execute(&world.database.owner, "update projects set deleted_at = now()").await;
    world.until("select status from instances", "stopped").await;
    world.until("select count(*) from routes", "0").await;
    world.until("select count(*) from domains", "0").await;
    world.until_deployment(deployment, "retired").await;
    world.until("select count(*) from endpoints where released_at is null", "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_pushes_in_a_burst_end_in_the_newest() {
    let world = World::new().await;
    let mut pushed = Vec::new();
    for digit in ['1', '2', '3', '4', '5'] {
        pushed.push(world.push(digit).await);
    }
    let newest = pushed.pop().unwrap();
    world.until_deployment(newest, "live").await;
    for older in pushed {
        let (status, _) = world.deployment(older).await;
        assert!(status == "superseded" || status == "retired", "{status}");
    }
    world.until("select count(*) from wishes where status = 'pending'", "0").await;
    let commits = world.agent.instances_wanted().into_iter();
    assert!(commits.filter(|i| i.goal == InstanceGoal::Run).all(|i| i.commit == commit('5')));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_at_once_do_no_harm() {
    let world = World::new().await;
    let other = world.start_operator().await;
    world.scale(3).await;
    for digit in ['1', '2', '3'] {
        let deployment = world.push(digit).await;
        world.until_deployment(deployment, "live").await;
        let of_this =
            format!("select count(*) from instances where deployment_id = '{}'", deployment.0);
        world.until(&of_this, "3").await;
    }
    world.until("select max(attempt) from builds", "1").await;
    world.until("select count(*) from deployments where status = 'live'", "1").await;
    assert!(!world.edge.went_dark());
    other.stop_now();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_build_never_overtakes_a_newer_wish() {
    let world = World::new().await;
    let first = world.push('a').await;
    world.until_deployment(first, "live").await;
    world.agent.build('b', Fate::Never("build".into()));
    let slow = world.push('b').await;
    world.until("select count(*) from builds where status = 'running'", "1").await;
    // A rollback to what is live: there is nothing to wait for, and the push is over.
    assert_eq!(world.roll_back(first).await, first);
    world.agent.build('b', Fate::Well);
    world.until_deployment(slow, "superseded").await;
    world.until("select status from wishes order by generation desc limit 1", "live").await;
    world.until("select count(*) from builds where status in ('queued', 'running')", "0").await;
    world.until_deployment(first, "live").await;
    world.until("select count(*) from images", "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_starts_says_what_it_waits_for() {
    let world = World::new().await;
    world.agent.instances('a', Fate::Never("GET / answers 500".into()));
    let deployment = world.push('a').await;
    let told = format!("select reason_text from deployments where id = '{}'", deployment.0);
    world.until(&told, "0 of 1 instances healthy; GET / answers 500").await;
    world.agent.instances('a', Fate::Well);
    world.until_deployment(deployment, "live").await;
    world.until(&told, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_without_room_says_so() {
    let world = World::new().await;
    world.agent.build('a', Fate::Never("build".into()));
    let deployment = world.push('a').await;
    world.until("select status from builds", "running").await;
    execute(&world.database.owner, "update nodes set status = 'cordoned'").await;
    world.agent.build('a', Fate::Well);
    let told = format!("select reason_text from deployments where id = '{}'", deployment.0);
    world.until(&told, "0 of 1 instances healthy; no ready node that has its image has room").await;
    execute(&world.database.owner, "update nodes set status = 'ready'").await;
    world.until_deployment(deployment, "live").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_in_a_pause_waits_and_proves_itself_afterwards() {
    let world = World::new().await;
    let first = world.push('a').await;
    world.until_deployment(first, "live").await;
    world.pause(true).await;
    world.until("select goal from instances", "pause").await;
    let second = world.push('b').await;
    let why = format!("select reason_code from deployments where id = '{}'", second.0);
    world.until(&why, "paused").await;
    // However long it waited: its time begins with the end of the pause.
    let long_ago = "update deployments set starting_at = now() - interval '1 hour'
        where status = 'starting'";
    execute(&world.database.owner, long_ago).await;
    world.until_deployment(second, "starting").await;
    world.pause(false).await;
    world.until_deployment(second, "live").await;
    world.until_deployment(first, "retired").await;
    world.until("select count(*) from instances where status = 'healthy'", "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_tells_how_each_deployment_ended() {
    let world = World::new().await;
    let first = world.push('a').await;
    world.until_deployment(first, "live").await;
    world.agent.build('b', Fate::Never("build".into()));
    let passed_over = world.push('b').await;
    let second = world.push('c').await;
    world.until_deployment(second, "live").await;
    world.agent.build('d', Fate::Never("build".into()));
    let deleted = world.push('d').await;
    world.until_deployment(deleted, "building").await;
    execute(&world.database.owner, "update projects set deleted_at = now()").await;
    world.until_deployment(deleted, "cancelled").await;
    for (deployment, end) in [
        (first, "deployment.retired"),
        (passed_over, "deployment.superseded"),
        (second, "deployment.retired"),
        (deleted, "deployment.cancelled"),
    ] {
        let last = format!(
            "select kind from events where deployment_id = '{}' order by sequence desc limit 1",
            deployment.0
        );
        assert_eq!(world.one(&last).await, end);
    }
}
