//! What each daemon's login must not do is refused for lack of the right, and for no other reason.

use zeitwork_database::Database;
use zeitwork_database::edges::{self, LEASE};
use zeitwork_database::login::{self, CLOSE_FUNCTIONS, Role};
use zeitwork_database::testing::{TestDatabase, texts};
use zeitwork_model::generation::Position;
use zeitwork_model::id::EdgeId;
use zeitwork_protocol::edge::EdgeReport;

use crate::node_channel::insert_node;

/// SQLSTATE of a missing right.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// What no daemon's login may do.
const NOBODY: &[&str] = &[
    "set role zeitwork_operator",
    "set session authorization zeitwork",
    "create table mine (id int)",
    "create temporary table mine (id int)",
    "create role mine",
    "update installation set epoch = 9",
    "delete from installation",
    "delete from audit_events",
    "update audit_events set action = 'x'",
    "update node_targets set generation = 9",
    "delete from node_targets",
    "insert into node_reports select id, '{}' from nodes",
    "update nodes set name = 'x'",
    "update nodes set database_role = session_user",
    "delete from nodes",
    "insert into routes select * from routes",
    "update routes set route = '{}'",
    "delete from routes",
    "delete from route_feed",
    "insert into route_feed (generation, host, environment_id) select 1, 'x', gen_random_uuid()",
    "select nextval('route_generation')",
    "update edges set lease_until = now() + interval '1 year'",
    "delete from edges",
    "update instances set status = 'failed'",
    "delete from endpoints",
    "delete from log_chunks",
    "update log_streams set node_id = null",
    "delete from _sqlx_migrations",
    "truncate edges",
    "lock table edges in access exclusive mode",
    "lock table routes in row exclusive mode",
    "lock table nodes in share mode",
    "lock table node_targets in access exclusive mode",
    "lock table route_gate in share row exclusive mode",
    "select pg_advisory_lock(1)",
    "select pg_try_advisory_lock(1)",
    "select pg_sleep(1)",
    "select lo_from_bytea(0, 'x')",
    "select pg_read_file('/etc/passwd')",
    "copy (select 1) to program 'true'",
    "select rolpassword from pg_authid",
    "select zw.create_login('x', 'zeitwork_api', 'y')",
    "select zw.drop_log_partitions(current_date)",
];

/// What neither an edge nor a node may do: they serve strangers' code and traffic.
const NEITHER_EDGE_NOR_NODE: &[&str] = &[
    "select * from organisations",
    "select * from api_keys",
    "select * from projects",
    "select * from project_keys",
    "select * from variables",
    "select * from variable_sets",
    "select * from deployments",
    "select * from builds",
    "select * from instances",
    "select * from webhook_deliveries",
    "select * from idempotency_keys",
    "select * from audit_events",
    "select * from log_streams",
    "select * from log_chunks",
    "select * from nodes",
    "select * from node_reports",
    "select * from edges",
];

const EDGE: &[&str] = &[
    "select * from node_targets",
    "insert into edges (id, name, version, lease_until) values (gen_random_uuid(), '', '', now())",
    "select zw.report('{}', true)",
    "select zw.log_position('x')",
    "select zw.append_log('x', 0, 1, now(), now(), 'x', false)",
    "select zw.my_node()",
];

const NODE: &[&str] = &[
    "select * from routes",
    "select * from route_feed",
    "select zw.report_edge(gen_random_uuid(), 'x', 'x', 1, 1, '{}')",
    "select zw.leave_edge(gen_random_uuid())",
    "select zw.append_log('bld_nobody', 0, 1, now(), now(), 'x', false)",
];

const API: &[&str] = &[
    "update nodes set public_key = decode(repeat('00', 32), 'hex')",
    "insert into nodes select * from nodes",
    "select target from node_targets",
    "insert into instances select * from instances",
    "insert into images select * from images",
    "select zw.report('{}', true)",
    "select zw.append_log('x', 0, 1, now(), now(), 'x', false)",
    "select zw.report_edge(gen_random_uuid(), 'x', 'x', 1, 1, '{}')",
    "select zw.leave_edge(gen_random_uuid())",
];

/// The statement fails because the login lacks the right.
pub async fn assert_refused(login: &Database, statement: &str) {
    // Some statements are for transactions alone.
    let mut transaction = login.begin().await.unwrap();
    let error = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
        .execute(&mut *transaction)
        .await
        .expect_err(statement);
    let code =
        error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
    assert_eq!(code.as_deref(), Some(INSUFFICIENT_PRIVILEGE), "{statement}: {error}");
}

/// The tables hold a row each, so that nothing is refused for want of one.
async fn world() -> TestDatabase {
    let world = TestDatabase::create().await;
    insert_node(&world.owner, "stock").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_refused_what_others_decide() {
    let world = world().await;
    let api = world.role(Role::Api).await;
    for statement in NOBODY.iter().chain(API) {
        assert_refused(&api, statement).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_is_refused_all_but_routes_and_its_lease() {
    let world = world().await;
    let edge = world.role(Role::Edge).await;
    for statement in NOBODY.iter().chain(NEITHER_EDGE_NOR_NODE).chain(EDGE) {
        assert_refused(&edge, statement).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_refused_all_but_its_target_and_its_reports() {
    let world = world().await;
    insert_node(&world.owner, "refused-a").await;
    let node = world.node("refused-a").await;
    for statement in NOBODY.iter().chain(NEITHER_EDGE_NOR_NODE).chain(NODE) {
        assert_refused(&node, statement).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_renewed_and_ended_by_the_login_that_took_it_alone() {
    let world = TestDatabase::create().await;
    let (mine, id) = (world.role(Role::Edge).await, EdgeId::new());
    let mut connection = mine.acquire().await.unwrap();
    let report = |generation| EdgeReport {
        applied: Position { epoch: 1, generation },
        in_flight: [].into(),
        version: "1".to_owned(),
    };
    edges::report(&mut connection, id, "mine", &report(1)).await.unwrap();
    edges::report(&mut connection, id, "mine", &report(2)).await.unwrap();

    let mut owner = world.owner.acquire().await.unwrap();
    login::ensure(&mut owner, "zeitwork_edge_rival", Role::Edge, &"testing".into()).await.unwrap();
    let settings = zeitwork_database::PoolSettings::default();
    let rival = Database::new(&world.url("zeitwork_edge_rival"), "rival", &settings).unwrap();
    let edge = id.0;
    let theirs = format!("select zw.report_edge('{edge}', 'rival', '1', 1, 99, '{{}}')");
    assert_refused(&rival, &theirs).await;
    assert_refused(&rival, &format!("select zw.leave_edge('{edge}')")).await;
    let lease =
        "select name || ' ' || applied_generation || ' ' || (lease_until - reported_at) from edges";
    let length = LEASE.as_secs();
    assert_eq!(texts(&world.owner, lease).await, [format!("mine 2 00:00:{length}")]);

    edges::leave(&mut connection, id).await.unwrap();
    assert_eq!(texts(&world.owner, lease).await, [""; 0]);
    edges::leave(&mut connection, id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_are_open_to_all_are_counted_until_they_are_closed() {
    let world = TestDatabase::create().await;
    let mut owner = world.owner.acquire().await.unwrap();
    assert_eq!(login::rights(&mut owner).await.unwrap().open_functions, 0, "run by a superuser");
    world
        .run(
            "grant execute on function pg_sleep(double precision) to public;
             grant execute on function lo_create(oid) to public",
        )
        .await;
    assert_eq!(login::rights(&mut owner).await.unwrap().open_functions, 2);
    world.run(CLOSE_FUNCTIONS).await;
    assert_eq!(login::rights(&mut owner).await.unwrap().open_functions, 0);
}
