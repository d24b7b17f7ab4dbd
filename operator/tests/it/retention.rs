//! What is old goes; what a rollback or an edge may need stays.

use zeitwork_database::testing::execute;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn every_reconciler_passes_and_says_so() {
    let world = World::new().await;
    let deployment = world.push('a').await;
    world.until_deployment(deployment, "live").await;
    let passed = "select string_agg(name, ' ' order by name) from reconciler_reports
        where name in ('builds', 'nodes', 'retention', 'rollouts', 'routes')
            and error is null and passes > 0";
    world.until(passed, "builds nodes retention rollouts routes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_beyond_the_last_five_deployments_are_given_up() {
    let world = World::without_operator().await;
    let (o, p, e) = (world.organisation.0, world.project.0, world.environment.0);
    execute(
        &world.database.owner,
        &format!(
            "insert into variable_sets (id, organisation_id, project_id, digest, entries)
            values ('{p}', '{o}', '{p}', '\\x00', '[]');
            insert into images (id, organisation_id, project_id, content_id, size_bytes, platform,
                held_at)
            select gen_random_uuid(), '{o}', '{p}', 'sha256:' || n, 1, 'linux/amd64',
                now() - interval '1 day'
            from generate_series(1, 8) n;
            insert into image_locations (image_id, node_id, engine_image)
            select i.id, n.id, i.content_id from images i, nodes n;
            insert into deployments (id, organisation_id, project_id, environment_id, generation,
                commit_sha, trigger, status, configuration, variable_set_id, image_id, live_at,
                finished_at)
            select gen_random_uuid(), '{o}', '{p}', '{e}', n, repeat('a', 40), 'push', 'retired',
                '{{}}', '{p}', i.id, now() - make_interval(hours => 20 - n), now()
            from generate_series(1, 8) n join images i on i.content_id = 'sha256:' || n"
        ),
    )
    .await;
    let operator = world.start_operator().await;
    let kept = "select string_agg(content_id, ' ' order by content_id) from images
        where deleted_at is null";
    world.until(kept, "sha256:4 sha256:5 sha256:6 sha256:7 sha256:8").await;
    let told = "select jsonb_array_length(target->'keep_images') from node_targets";
    world.until(told, "5").await;
    operator.stop_now();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_kept_while_an_edge_may_still_know_it() {
    let world = World::new().await;
    let deployment = world.push('a').await;
    world.until_deployment(deployment, "live").await;
    // An edge that has been silent for a while and never saw anything of this.
    execute(
        &world.database.owner,
        "insert into edges (id, name, version, epoch, lease_until)
        values (gen_random_uuid(), 'silent', 'test', 1, now() - interval '1 hour')",
    )
    .await;
    world.scale(0).await;
    world.until("select count(*) from endpoints where released_at is not null", "1").await;
    world.operator.stop_now();
    let operator = world.start_operator().await;
    let looked = "select count(*) from reconciler_reports where name = 'retention'";
    world.until(looked, "1").await;
    world.until("select count(*) from endpoints", "1").await;
    operator.stop_now();
    execute(&world.database.owner, "delete from edges where name = 'silent'").await;
    let operator = world.start_operator().await;
    world.until("select count(*) from endpoints", "0").await;
    operator.stop_now();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_asks_for_any_more_goes_and_the_rest_stays() {
    let world = World::without_operator().await;
    execute(
        &world.database.owner,
        "insert into webhook_deliveries (id, source, delivery_id, event, payload, status,
            next_attempt_at, received_at)
        select gen_random_uuid(), 'github', status || age, 'push', 'x', status,
            now() + interval '1 hour', now() - make_interval(days => age)
        from unnest(array['processed', 'pending']) status, unnest(array[1, 31]) age;
        insert into idempotency_keys (api_key_id, key, route, request_hash, created_at)
        select gen_random_uuid(), 'key' || age, 'POST /', 'x', now() - make_interval(hours => age)
        from unnest(array[1, 25]) age;
        insert into log_chunks (stream, first_sequence, last_sequence, first_at, last_at, data,
            written_at)
        select 'ins_x', age, age, now(), now(), 'x', now() - make_interval(days => age)
        from unnest(array[1, 9]) age",
    )
    .await;
    let operator = world.start_operator().await;
    let looked = "select count(*) from reconciler_reports where name = 'retention'";
    world.until(looked, "1").await;
    let deliveries = "select string_agg(delivery_id, ' ' order by delivery_id)
        from webhook_deliveries";
    // What is still to be done is done, and what has ended is told again for a month.
    assert_eq!(world.one(deliveries).await, "pending1 pending31 processed1");
    assert_eq!(world.one("select string_agg(key, ' ') from idempotency_keys").await, "key1");
    assert_eq!(
        world.one("select string_agg(first_sequence::text, ' ') from log_chunks").await,
        "1"
    );
    operator.stop_now();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_route_feed_keeps_what_an_edge_has_not_applied_and_the_newest_of_each_host() {
    let world = World::new().await;
    let first = world.push('a').await;
    world.until_deployment(first, "live").await;
    let second = world.push('b').await;
    world.until_deployment(second, "live").await;
    let changes = world.one("select count(*) from route_feed").await;
    assert!(changes.parse::<u32>().unwrap() >= 2, "{changes}");
    world.operator.stop_now();
    execute(&world.database.owner, "update route_feed set written_at = now() - interval '2 hours'")
        .await;
    let applied = "select bool_and(applied_generation >= (select max(generation) from route_feed))
        from edges";
    world.until(applied, "true").await;
    let operator = world.start_operator().await;
    let left = "select count(*) || ' of ' || count(distinct host) from route_feed";
    world.until(left, "1 of 1").await;
    operator.stop_now();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_removed_keeps_nothing_else() {
    let world = World::without_operator().await;
    execute(
        &world.database.owner,
        "alter table images rename column held_at to held;
        insert into edges (id, name, version, epoch, lease_until)
        values (gen_random_uuid(), 'old', 'test', 1, now() - interval '2 days')",
    )
    .await;
    let operator = world.start_operator().await;
    world.until("select count(*) from edges where name = 'old'", "0").await;
    let told = "select detail->>'reasons' like '%retention.images%' from reconciler_reports
        where name = 'retention'";
    world.until(told, "true").await;
    operator.stop_now();
}
