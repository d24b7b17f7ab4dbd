//! What never succeeds: shown, tried less and less, and in nobody's way.

use zeitwork_database::testing::execute;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_refuses_for_good_is_shown_and_mended_without_a_restart() {
    let world = World::new().await;
    let refuse = "alter table instances add constraint never check (process <> 'web') not valid";
    execute(&world.database.owner, refuse).await;
    let deployment = world.push('a').await;
    let shown = "select detail->>'reasons' like '%the constraint never is violated%'
        from reconciler_reports where name = 'rollouts'";
    world.until(shown, "true").await;
    // Ten times takes five seconds of rests; without any, it would be hundreds of times by now.
    let rarely = "select detail->>'reasons' ~ '\\((8|9|10|11) times\\)'
        from reconciler_reports where name = 'rollouts'";
    world.until(rarely, "true").await;
    execute(&world.database.owner, "alter table instances drop constraint never").await;
    world.until_deployment(deployment, "live").await;
}
