//! A write with an `Idempotency-Key` takes effect once, whatever happens in between.

use std::time::Instant;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use zeitwork_database::testing::{FACT_LIMIT, execute_in, texts};
use zeitwork_model::scope::Scope;

use crate::stock::COMMIT;
use crate::support::{Reply, User, World};

async fn deploy(user: &User<'_>, key: &str) -> Reply {
    let body = json!({ "environment": "production", "commit": COMMIT });
    let request = user.request(Method::POST, "/projects/shop/deployments").json(&body);
    Reply::of(request.header("idempotency-key", key)).await
}

async fn wishes(world: &World) -> usize {
    texts(&world.database.owner, "select id::text from wishes").await.len()
}

/// Waits until the query finds something.
async fn until(world: &World, query: &str) {
    let deadline = Instant::now() + FACT_LIMIT;
    while texts(&world.database.owner, query).await.is_empty() {
        assert!(Instant::now() < deadline, "never: {query}");
    }
}

#[tokio::test]
async fn of_requests_with_one_key_at_once_one_takes_effect() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    user.project("shop").await;
    let replies = join_all((0..12).map(|_| deploy(&user, "together"))).await;
    let ids: Vec<Value> = replies
        .into_iter()
        .filter_map(|reply| {
            if reply.status == 202 {
                return Some(reply.body["id"].clone());
            }
            reply.problem(409, "conflict");
            None
        })
        .collect();
    assert!(!ids.is_empty() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(wishes(&world).await, 1);
}

#[tokio::test]
async fn the_work_and_its_kept_answer_are_there_together_or_not_at_all() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    user.project("shop").await;
    let rule = "alter table idempotency_keys add constraint never check (status is null)";
    world.database.run(rule).await;
    deploy(&user, "once").await.problem(500, "internal");
    assert_eq!(wishes(&world).await, 0, "the answer could not be kept");
    world.database.run("alter table idempotency_keys drop constraint never").await;
    let first = deploy(&user, "once").await.expect(202);
    let again = deploy(&user, "once").await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.expect(202), first);
    assert_eq!(wishes(&world).await, 1);
}

#[tokio::test]
async fn whoever_lost_the_claim_meanwhile_changes_nothing() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    user.project("shop").await;
    let mut hold = world.database.owner.begin().await.unwrap();
    let lock = "set local idle_in_transaction_session_timeout = 0;
        lock table wishes in access exclusive mode";
    execute_in(&mut hold, lock).await;
    let old = "update idempotency_keys set created_at = created_at - interval '2 minutes'";
    let (aged, is_aged) = oneshot::channel();
    let second = async {
        until(&world, "select 1 from idempotency_keys").await;
        world.database.run(old).await;
        aged.send(()).unwrap();
        deploy(&user, "lost").await
    };
    let release = async {
        is_aged.await.unwrap();
        let taken = "select 1 from idempotency_keys
            where created_at > now() - interval '1 minute'";
        until(&world, taken).await;
        hold.rollback().await.unwrap();
    };
    let (slow, second, ()) = tokio::join!(deploy(&user, "lost"), second, release);
    assert_eq!(second.status, 202, "{}", second.text);
    assert!(matches!(slow.status.as_u16(), 409 | 503), "{}", slow.text);
    assert_eq!(wishes(&world).await, 1);
}

#[tokio::test]
async fn a_repetition_while_the_first_is_at_work_is_told_so_and_later_gets_its_answer() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    user.project("shop").await;
    let mut hold = world.database.owner.begin().await.unwrap();
    execute_in(&mut hold, "lock table wishes in access exclusive mode").await;
    let second = async {
        until(&world, "select 1 from idempotency_keys").await;
        let second = deploy(&user, "at work").await;
        hold.rollback().await.unwrap();
        second
    };
    let (first, second) = tokio::join!(deploy(&user, "at work"), second);
    second.problem(409, "conflict");
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let third = deploy(&user, "at work").await;
    assert_eq!(third.headers["idempotency-replayed"], "true");
    assert_eq!(first.expect(202), third.expect(202));
}

#[tokio::test]
async fn a_key_belongs_to_one_route_and_to_one_api_key() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    user.project("shop").await;
    let first = deploy(&user, "mine").await.expect(202);
    let path = "/projects/shop/environments/production/redeploy";
    let elsewhere = user.request(Method::POST, path).header("idempotency-key", "mine");
    Reply::of(elsewhere).await.problem(422, "idempotency_key_reused");
    let colleague = world.colleague(user.organisation, Scope::Write).await;
    let theirs = deploy(&colleague, "mine").await;
    assert!(!theirs.headers.contains_key("idempotency-replayed"));
    assert_ne!(theirs.expect(202)["id"], first["id"], "another API key's word is its own");
}

#[tokio::test]
async fn a_fault_of_ours_gives_the_key_back() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    user.project("shop").await;
    world.database.run("alter table wishes rename to wishes_away").await;
    deploy(&user, "again").await.problem(500, "internal");
    world.database.run("alter table wishes_away rename to wishes").await;
    let again = deploy(&user, "again").await;
    assert!(!again.headers.contains_key("idempotency-replayed"));
    again.expect(202);
    assert_eq!(wishes(&world).await, 1);
}
