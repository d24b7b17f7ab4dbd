//! A node sees and says what is its own, and can disturb nobody.

use zeitwork_database::testing::{TestDatabase, texts};
use zeitwork_database::{Database, Error};

use crate::roles::assert_refused;

pub async fn insert_node(database: &Database, name: &str) {
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
async fn a_node_writes_to_its_own_log_streams_and_to_no_other_s() {
    let world = TestDatabase::create().await;
    insert_node(&world.owner, "logs-a").await;
    insert_node(&world.owner, "logs-b").await;
    world
        .run(
            "insert into organisations (id, slug, name)
             values ('00000000-0000-0000-0000-000000000001', 'o', 'o');
             insert into projects (id, organisation_id, slug, name, source_kind, url)
             values ('00000000-0000-0000-0000-000000000002',
                '00000000-0000-0000-0000-000000000001', 'p', 'p', 'git', 'https://x');
             insert into log_streams (stream, organisation_id, project_id, node_id, last_sequence)
             select 'bld_' || name, '00000000-0000-0000-0000-000000000001',
                '00000000-0000-0000-0000-000000000002', id, 7 from nodes",
        )
        .await;
    let (a, b) = (world.node("logs-a").await, world.node("logs-b").await);
    let append = "select zw.append_log('bld_logs-b', 7, 1, now(), now(), 'x', false)";
    assert_refused(&a, append).await;
    assert_eq!(texts(&a, "select zw.log_position('bld_logs-b')").await, [""], "it is not A's");
    assert_eq!(texts(&b, "select zw.log_position('bld_logs-b')").await, ["7"], "A wrote nothing");
    assert_eq!(texts(&b, append).await, ["8"], "B may");
    let chunk = "select zw.append_chunk('bld_logs-b', 8, 1, now(), now(), 'x', false, 'here')";
    assert_refused(&a, chunk).await;
    let end = "select last || mark from zw.log_end('bld_logs-b')";
    assert_eq!(texts(&b, chunk).await, ["true"]);
    assert_eq!(texts(&b, chunk).await, ["false"], "it does not end there any more");
    assert!(texts(&a, end).await.is_empty(), "it is not A's");
    assert_eq!(texts(&b, end).await, ["9here"]);
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
