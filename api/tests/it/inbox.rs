//! Deliveries that come together, and a database that refuses or hangs.

use std::time::Instant;

use bytes::Bytes;
use futures::channel::mpsc;
use futures::future::join_all;
use futures::stream;
use reqwest::{Body, RequestBuilder};
use serde_json::json;
use tokio::task::JoinSet;
use zeitwork_auth::signature::header_value;
use zeitwork_database::testing::{FACT_LIMIT, texts};
use zeitwork_model::scope::Scope;

use crate::support::{Reply, SECRET, World};

fn delivery(world: &World, id: &str, event: &str) -> RequestBuilder {
    let signature = header_value(&SECRET.to_owned().into(), b"{}");
    world
        .http
        .post(world.url("/webhooks/github"))
        .header("x-github-event", event)
        .header("x-github-delivery", id)
        .header("x-hub-signature-256", signature)
        .header("content-type", "application/json")
        .body("{}")
}

async fn stored(world: &World) -> Vec<String> {
    texts(&world.database.owner, "select delivery_id from webhook_deliveries order by 1").await
}

#[tokio::test]
async fn of_many_deliveries_at_once_each_is_stored_before_it_is_answered() {
    let world = World::start().await;
    let senders = (0..150).map(|number| {
        let world = &world;
        async move {
            // Every third one is a redelivery that overtakes or follows the first.
            let id = format!("d-{}", number - number % 3);
            Reply::of(delivery(world, &id, "push")).await.expect(202);
            let mine = format!("select 1 from webhook_deliveries where delivery_id = '{id}'");
            assert_eq!(texts(&world.database.owner, &mine).await.len(), 1, "{id} was answered");
        }
    });
    join_all(senders).await;
    assert_eq!(stored(&world).await.len(), 50);
}

#[tokio::test]
async fn a_delivery_that_cannot_be_stored_takes_no_other_with_it() {
    let world = World::start().await;
    let rule = "alter table webhook_deliveries add constraint no_poison check (event <> 'poison')";
    world.database.run(rule).await;
    let senders = (0..40).map(|number| {
        let event = if number % 10 == 0 { "poison" } else { "push" };
        let request = delivery(&world, &format!("d-{number:02}"), event);
        async move { (event, Reply::of(request).await) }
    });
    for (event, reply) in join_all(senders).await {
        match event {
            "poison" => drop(reply.problem(500, "internal")),
            _ => drop(reply.expect(202)),
        }
    }
    assert_eq!(stored(&world).await.len(), 36);
}

#[tokio::test]
async fn no_caller_waits_for_a_database_that_hangs() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    user.project("shop").await;
    let mut hold = world.database.owner.begin().await.unwrap();
    zeitwork_database::testing::execute_in(
        &mut hold,
        "set local idle_in_transaction_session_timeout = 0;
        lock table projects, webhook_deliveries in access exclusive mode",
    )
    .await;
    let body = json!({ "name": "Renamed" });
    let (read, written, told) = tokio::join!(
        user.get("/projects"),
        user.patch("/projects/shop", body),
        Reply::of(delivery(&world, "late", "push")),
    );
    for reply in [read, written, told] {
        assert!(reply.headers.contains_key("retry-after"), "{}", reply.text);
        reply.problem(503, "database_unavailable");
    }
    hold.rollback().await.unwrap();
    Reply::of(delivery(&world, "late", "push")).await.expect(202);
    assert_eq!(stored(&world).await, ["late"]);
    assert_eq!(user.get("/projects/shop").await.expect(200)["name"], "shop");
}

#[tokio::test]
async fn strangers_cannot_fill_the_memory_with_large_bodies() {
    let world = World::start().await;
    let mut unfinished = JoinSet::new();
    let mut senders = Vec::new();
    for number in 0..8 {
        let (sender, body) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
        let request = delivery(&world, &format!("large-{number}"), "push");
        unfinished.spawn(request.body(Body::wrap_stream(body)).send());
        senders.push(sender);
    }
    let deadline = Instant::now() + FACT_LIMIT;
    let refused = loop {
        // A length that is not said counts as large.
        let body = Body::wrap_stream(stream::iter([Ok::<_, std::io::Error>("{}")]));
        let reply = Reply::of(delivery(&world, "one-more", "push").body(body)).await;
        if reply.status != 202 {
            break reply;
        }
        assert!(Instant::now() < deadline, "all are taken");
    };
    assert!(refused.headers.contains_key("retry-after"));
    refused.problem(503, "unavailable");
    Reply::of(delivery(&world, "small", "push")).await.expect(202);
    assert!(stored(&world).await.contains(&"small".to_owned()));
    drop(senders);
}
