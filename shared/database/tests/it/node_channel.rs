//! A node sees and says what is its own, and can disturb nobody.

use zeitwork_database::testing::TestDatabase;
use zeitwork_database::{Database, Error};

async fn insert_node(database: &Database, name: &str) {
    let mut connection = database.acquire().await.unwrap();
    sqlx::query(
        "with node as (insert into nodes (id, name, public_key, database_role)
         values (gen_random_uuid(), $1, $2, $1) returning id)
         insert into node_targets (node_id, epoch, generation, target)
         select id, 1, 1, '{}' from node",
    )
    .bind(name)
    .bind([0u8; 32].as_slice())
    .execute(&mut *connection)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_reads_its_own_target_and_no_other() {
    let world = TestDatabase::create().await;
    insert_node(&world.owner, "reader-a").await;
    insert_node(&world.owner, "reader-b").await;
    let node = world.node("reader-a").await;
    let mut connection = node.acquire().await.unwrap();
    let seen: i64 = sqlx::query_scalar("select count(*) from node_targets")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(seen, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_refused_everything_that_is_not_its_own() {
    let world = TestDatabase::create().await;
    insert_node(&world.owner, "refused-a").await;
    let node = world.node("refused-a").await;
    for statement in [
        "select * from projects",
        "select * from nodes",
        "select * from node_reports",
        "select * from api_keys",
        "update node_targets set generation = 9",
        "delete from node_targets",
        "lock table node_targets in access exclusive mode",
        "lock table route_gate in share row exclusive mode",
        "set role zeitwork_operator",
        "create table mine (id int)",
        "create temporary table mine (id int)",
        "select pg_advisory_lock(1)",
        "select pg_sleep(1)",
        "select lo_from_bytea(0, 'x')",
        "select zw.create_login('x', 'zeitwork_api', 'y')",
        "select zw.drop_log_partitions(current_date)",
        "select zw.append_log('bld_other', 0, 1, now(), now(), 'x', false)",
    ] {
        let mut connection = node.acquire().await.unwrap();
        let refused = sqlx::query(statement).execute(&mut *connection).await;
        assert!(refused.is_err(), "{statement} was allowed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_stored_as_the_session_s_node() {
    let world = TestDatabase::create().await;
    insert_node(&world.owner, "reporter-a").await;
    insert_node(&world.owner, "reporter-b").await;
    let node = world.node("reporter-a").await;
    let mut connection = node.acquire().await.unwrap();
    sqlx::query("select zw.report('{\"n\": 1}', true)").execute(&mut *connection).await.unwrap();
    let mut owner = world.owner.acquire().await.unwrap();
    let reporters: Vec<String> =
        sqlx::query_scalar("select n.name from node_reports r join nodes n on n.id = r.node_id")
            .fetch_all(&mut *owner)
            .await
            .unwrap();
    assert_eq!(reporters, ["reporter-a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_database_is_told_apart_from_a_mistake() {
    let nowhere = Database::new(
        &"postgres://x@localhost/x?host=/nonexistent".into(),
        "test",
        &zeitwork_database::PoolSettings::default(),
    )
    .unwrap();
    assert!(matches!(nowhere.ping().await, Err(Error::Unavailable(_))));
}
