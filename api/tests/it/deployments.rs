use serde_json::{Value, json};
use zeitwork_model::scope::Scope;

use crate::support::{User, World};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

async fn deploy(user: &User<'_>, body: Value) -> Value {
    user.post("/projects/shop/deployments", body).await.expect(202)
}

#[tokio::test]
async fn a_deployment_is_queued_with_what_was_asked_for() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    user.project("shop").await;
    let made = deploy(&user, json!({ "environment": "production", "commit": COMMIT })).await;
    assert_eq!(made["status"], "queued");
    assert_eq!(made["commit"], COMMIT);
    assert_eq!(made["trigger"], "manual");
    assert_eq!(made["address"], "http://shop.localhost:8080");
    let path = format!("/deployments/{}", made["id"].as_str().unwrap());
    assert_eq!(user.get(&path).await.expect(200), made);
    let by_ref = deploy(&user, json!({ "environment": "production", "ref": "main" })).await;
    assert_eq!((&by_ref["ref"], &by_ref["commit"]), (&json!("main"), &json!(null)));
    let list = user.get("/projects/shop/deployments").await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert_eq!(list["items"][0]["id"], by_ref["id"], "newest first");
    let superseded = user.get("/projects/shop/deployments?status=superseded").await.expect(200);
    assert_eq!(superseded["items"][0]["id"], made["id"], "a newer wish came");
}

#[tokio::test]
async fn a_hostile_reference_is_refused() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    user.project("shop").await;
    let long = "a".repeat(256);
    let hostile = [
        "",
        " ",
        "-x",
        "--upload-pack=x",
        "a b",
        "a\nb",
        "a\0b",
        "a..b",
        "../x",
        "a~1",
        "a^",
        "a:b",
        "a?b",
        "a[b",
        "a\\b",
        "a*b",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a/.b",
        "a.lock",
        "a.",
        "@",
        "a@{0}",
        "$(x) ",
        "a\u{7f}b",
        &long,
    ];
    for reference in hostile {
        let body = json!({ "environment": "production", "ref": reference });
        let reply = user.post("/projects/shop/deployments", body).await;
        assert_eq!(reply.status, 422, "{reference:?}: {}", reply.text);
    }
    for commit in ["HEAD", "0123456", &COMMIT.to_uppercase(), &format!("{COMMIT} ")] {
        let body = json!({ "environment": "production", "commit": commit });
        let reply = user.post("/projects/shop/deployments", body).await;
        assert_eq!(reply.status, 422, "{commit:?}: {}", reply.text);
    }
    // Odd, but git's and ours: it never reaches a shell.
    for reference in ["$(id)", "a;b", "`x`", "ü", "a'b\"c", "refs/heads/x", "v1.2.3"] {
        let body = json!({ "environment": "production", "ref": reference });
        assert_eq!(deploy(&user, body).await["ref"], reference);
    }
}

#[tokio::test]
async fn a_deployment_needs_one_of_ref_and_commit() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    user.project("shop").await;
    for body in [
        json!({ "environment": "production" }),
        json!({ "environment": "production", "ref": "main", "commit": COMMIT }),
    ] {
        let reply = user.post("/projects/shop/deployments", body).await;
        reply.problem(422, "validation_failed");
    }
    let elsewhere = json!({ "environment": "nowhere", "ref": "main" });
    let unknown = user.post("/projects/shop/deployments", elsewhere).await;
    let problem = unknown.problem(422, "validation_failed");
    assert_eq!(problem["errors"][0]["pointer"], "/environment", "the path is right");
}

#[tokio::test]
async fn a_cancelled_deployment_stays_cancelled() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    user.project("shop").await;
    let made = deploy(&user, json!({ "environment": "production", "commit": COMMIT })).await;
    let path = format!("/deployments/{}/cancel", made["id"].as_str().unwrap());
    let cancelled = user.post(&path, json!({})).await.expect(202);
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["reason"]["code"], "cancelled");
    user.post(&path, json!({})).await.problem(409, "stale");
}

#[tokio::test]
async fn a_repeated_write_gets_the_first_answer() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    user.project("shop").await;
    let send = |body: Value| {
        let request = user.request(reqwest::Method::POST, "/projects/shop/deployments");
        crate::support::Reply::of(request.header("idempotency-key", "k1").json(&body))
    };
    let body = json!({ "environment": "production", "commit": COMMIT });
    let (first, second) = (send(body.clone()).await, send(body).await);
    assert_eq!(second.headers["idempotency-replayed"], "true");
    assert_eq!(first.headers["location"], second.headers["location"]);
    assert_eq!(first.expect(202), second.expect(202));
    let list = user.get("/projects/shop/deployments").await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let other = send(json!({ "environment": "production", "ref": "main" })).await;
    other.problem(422, "idempotency_key_reused");
}
