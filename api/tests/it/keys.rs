use http::StatusCode;
use zeitwork_model::scope::Scope;

use crate::support::{Reply, World};

#[tokio::test]
async fn without_a_valid_key_there_is_nothing() {
    let world = World::start().await;
    let user = world.user(Scope::Read).await;
    let get = || world.http.get(world.url("/projects"));
    let wrong = zeitwork_auth::ApiKey::generate();
    let altered = format!("{}A", &user.key[..user.key.len() - 1]);
    let headers = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        user.key.clone(),
        format!("Basic {}", user.key),
        format!("Bearer {}", wrong.expose()),
        format!("Bearer {altered}"),
        format!("Bearer {} ", user.key.to_uppercase()),
    ];
    Reply::of(get()).await.problem(401, "unauthenticated");
    for header in headers
        .iter()
        .filter(|header| !header.ends_with(&user.key[4..]) || !header.starts_with("Bearer"))
    {
        Reply::of(get().header("authorization", header)).await.problem(401, "unauthenticated");
    }
    let twice = get().bearer_auth(&user.key).header("authorization", "Bearer x");
    Reply::of(twice).await.problem(401, "unauthenticated");
    user.get("/projects").await.expect(200);
}

#[tokio::test]
async fn a_key_that_may_read_may_not_write() {
    let world = World::start().await;
    let user = world.user(Scope::Read).await;
    // Refused before the body is looked at.
    let reply = Reply::of(user.request(reqwest::Method::POST, "/projects").body("no json")).await;
    reply.problem(403, "forbidden");
}

#[tokio::test]
async fn the_owners_key_is_made_once() {
    let given = zeitwork_auth::ApiKey::generate();
    let key = given.clone();
    let world = World::with(move |config| config.owner_key = Some(key)).await;
    let deadline = tokio::time::Instant::now() + zeitwork_database::testing::FACT_LIMIT;
    loop {
        let request = world.http.get(world.url("/projects")).bearer_auth(given.expose());
        if Reply::of(request).await.status == StatusCode::OK {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the owner's key never worked");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_key_is_shown_once_and_hands_out_no_more_than_it_has() {
    let world = World::start().await;
    let admin = world.user(Scope::Admin).await;
    let keys = format!("/organisations/{}/api-keys", admin.organisation);
    let send = |scope: &str| {
        let body = serde_json::json!({ "name": "ci", "scope": scope });
        let request = admin.request(reqwest::Method::POST, &keys).json(&body);
        Reply::of(request.header("idempotency-key", format!("key-{scope}")))
    };
    let made = send("write").await;
    assert_eq!(made.headers["cache-control"], "no-store");
    let made = made.expect(201);
    let key = made["key"].as_str().unwrap();
    let replay = send("write").await;
    assert!(!replay.text.contains(key));
    replay.expect(409);
    send("platform").await.problem(403, "forbidden");
    let list = admin.get(&keys).await;
    assert!(!list.text.contains(key));
    let works = Reply::of(world.http.get(world.url("/projects")).bearer_auth(key)).await;
    works.expect(200);
    let audit = format!("/organisations/{}/audit-events", admin.organisation);
    let events = admin.get(&audit).await;
    assert!(!events.text.contains(key));
    let events = events.expect(200);
    assert_eq!(events["items"][0]["action"], "api_key.create");
    assert_eq!(events["items"][0]["subject"], made["id"]);
}

#[tokio::test]
async fn the_platform_makes_organisations_and_their_keys() {
    let world = World::start().await;
    let owner = world.user(Scope::Platform).await;
    let body = serde_json::json!({ "name": "Acme Inc." });
    let acme = owner.post("/organisations", body.clone()).await.expect(201);
    assert_eq!(acme["slug"], "acme-inc");
    owner.post("/organisations", body).await.problem(409, "name_taken");
    let key = serde_json::json!({ "name": "first", "scope": "admin" });
    let made = owner.post("/organisations/acme-inc/api-keys", key).await.expect(201);
    let get =
        world.http.get(world.url("/organisations")).bearer_auth(made["key"].as_str().unwrap());
    let seen = Reply::of(get).await.expect(200);
    assert_eq!(seen["items"].as_array().unwrap().len(), 1, "its own alone");
}

#[tokio::test]
async fn whoever_tries_keys_is_told_to_wait_and_those_with_a_key_are_not() {
    let world = World::start().await;
    let user = world.user(Scope::Read).await;
    user.get("/projects").await.expect(200);
    let guess = async || {
        let wrong = zeitwork_auth::ApiKey::generate();
        Reply::of(world.http.get(world.url("/projects")).bearer_auth(wrong.expose())).await
    };
    let mut reply = guess().await;
    for _ in 0..30 {
        if reply.status != 401 {
            break;
        }
        reply = guess().await;
    }
    reply.problem(429, "rate_limited");
    assert!(guess().await.headers.contains_key("retry-after"));
    user.get("/projects").await.expect(200);
}
