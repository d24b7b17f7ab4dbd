//! Images that somebody removed from the engine.

use zeitwork_database::testing::execute;
use zeitwork_model::id::DeploymentId;

use crate::agent::Fate;
use crate::world::World;

/// Nothing of what is live runs, and its image is gone; then one instance is wanted again.
async fn lose_what_is_live(world: &World) {
    world.scale(0).await;
    let open = "select count(*) from instances i join deployments d on d.id = i.deployment_id
        where d.status = 'live' and i.status not in ('stopped', 'failed')";
    world.until(open, "0").await;
    execute(
        &world.database.owner,
        "update image_locations set last_used_at = now() - interval '1 hour'",
    )
    .await;
    world.agent.lists(Some(&[]));
    world.until("select count(*) from image_locations where gone_at is null", "0").await;
    world.agent.lists(None);
    world.scale(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_lost_its_image_is_built_again_once() {
    let world = World::new().await;
    world.set_variable("GREETING", "hello").await;
    let first = world.push('a').await;
    world.until_deployment(first, "live").await;
    world.set_variable("GREETING", "of a later deployment").await;
    lose_what_is_live(&world).await;
    let again = format!("select id::text from deployments where rebuild_of = '{}'", first.0);
    world
        .until(&format!("select status from deployments where rebuild_of = '{}'", first.0), "live")
        .await;
    world.until_deployment(first, "retired").await;
    let again = DeploymentId(world.one(&again).await.parse().unwrap());
    let same =
        "select count(distinct (commit_sha, configuration, variable_set_id)) from deployments";
    world.until(same, "1").await;
    let told = "select actor || ' ' || text from events where kind = 'deployment.image_lost'";
    world
        .until(told, "operator No node has its image any more; the same commit is built again.")
        .await;
    // Lost once more, the repetition is repeated: it is of the first, too.
    lose_what_is_live(&world).await;
    let live = format!(
        "select rebuild_of::text from deployments where status = 'live' and id <> '{}'",
        again.0
    );
    world.until(&live, &first.0.to_string()).await;
    assert_eq!(world.one("select count(*) from wishes").await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_built_any_more_is_given_up_with_a_reason() {
    let world = World::new().await;
    let first = world.push('a').await;
    world.until_deployment(first, "live").await;
    world.agent.build('a', Fate::Fails("no such repository".into()));
    lose_what_is_live(&world).await;
    let is_told = |part: &str| {
        let id = first.0;
        format!("select reason_text like '%{part}%' from deployments where id = '{id}'")
    };
    world.until(&is_told("no such repository. It is tried again later"), "true").await;
    for _ in 0..2 {
        let later = "update deployments set finished_at = now() - interval '2 hours'
            where status = 'failed'";
        execute(&world.database.owner, later).await;
        let failed = "select status = 'failed' and finished_at > now() - interval '1 hour'
            from deployments order by generation desc limit 1";
        world.until(failed, "true").await;
    }
    world.until(&is_told("no such repository (3 times)"), "true").await;
    execute(
        &world.database.owner,
        "update deployments set finished_at = now() - interval '1 y'
        where status = 'failed'",
    )
    .await;
    assert_eq!(world.deployment(first).await.0, "live");
    assert_eq!(world.one("select count(*) from wishes").await, "4");

    // Somebody brings the image back.
    execute(
        &world.database.owner,
        "update image_locations set gone_at = now() - interval '1 hour'",
    )
    .await;
    world.agent.lists(Some(&['a']));
    world.until("select status from instances order by id desc limit 1", "healthy").await;
    world.until("select count(*) from deployments where reason_code = 'image_lost'", "0").await;
    assert_eq!(world.one("select count(*) from wishes").await, "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_a_lost_image_builds_it_again() {
    let world = World::new().await;
    let first = world.push('a').await;
    world.until_deployment(first, "live").await;
    let second = world.push('b').await;
    world.until_deployment(second, "live").await;
    let gone = format!(
        "update image_locations set gone_at = now()
        where image_id = (select image_id from deployments where id = '{}')",
        first.0
    );
    execute(&world.database.owner, &gone).await;
    let again = world.roll_back(first).await;
    assert_ne!(again, first);
    world.until_deployment(again, "live").await;
    world.until_deployment(second, "retired").await;
    assert_eq!(world.one("select count(*) from builds where status = 'succeeded'").await, "3");
    assert!(!world.edge.went_dark());
}
