//! Lists that are whole while rows come and go, and how many of something there may be.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use zeitwork_model::scope::Scope;

use crate::stock::Stock;
use crate::support::{Reply, User, World};

/// Every page of a list; between two pages something happens.
async fn walk(user: &User<'_>, path: &str, limit: usize, between: impl AsyncFn()) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = user.get(&format!("{path}?limit={limit}{cursor}")).await.expect(200);
        let found = page["items"].as_array().unwrap();
        assert!(found.len() <= limit);
        items.extend(found.iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { return items };
        cursor = format!("&cursor={next}");
        between().await;
    }
}

fn names(items: &[Value], field: &str) -> Vec<String> {
    items.iter().map(|it| it[field].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_list_shows_each_row_once_while_others_are_inserted() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    for number in 0..7 {
        user.project(&format!("old-{number}")).await;
    }
    let seen = walk(&user, "/projects", 2, async || {
        user.project(&format!("new-{}", zeitwork_model::id::ProjectId::new().0.simple())).await;
    })
    .await;
    let old: Vec<String> = names(&seen, "slug");
    let old: Vec<&String> = old.iter().filter(|slug| slug.starts_with("old-")).collect();
    assert_eq!(old, ["old-6", "old-5", "old-4", "old-3", "old-2", "old-1", "old-0"]);
}

#[tokio::test]
async fn variables_are_listed_on_even_where_the_last_one_shown_is_gone() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    user.project("shop").await;
    let path = "/projects/shop/variables";
    for name in ["A", "B", "C", "D", "E"] {
        user.put(&format!("{path}/{name}"), json!({ "value": name })).await.expect(200);
    }
    let own = json!({ "value": "own", "environment": "production" });
    user.put(&format!("{path}/C"), own).await.expect(200);
    let first = user.get(&format!("{path}?limit=3")).await.expect(200);
    assert_eq!(names(first["items"].as_array().unwrap(), "name"), ["A", "B", "C"]);
    user.delete(&format!("{path}/C")).await.expect(204);
    user.delete(&format!("{path}/D")).await.expect(204);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = user.get(&format!("{path}?cursor={cursor}")).await.expect(200);
    let rest = rest["items"].as_array().unwrap();
    assert_eq!(names(rest, "name"), ["C", "E"]);
    assert!(rest[0]["environment"].is_string(), "its other value");
    user.get(&format!("{path}?cursor=OWxpdmVz")).await.problem(400, "invalid_cursor");
}

#[tokio::test]
async fn what_there_is_enough_of_is_refused_with_a_reason() {
    let world = World::start().await;
    let user = world.user(Scope::Admin).await;
    let stock = Stock::new(&user).await;
    let (organisation, project) = (user.organisation.0, stock.project.0);
    let script = format!(
        "insert into variables (id, organisation_id, project_id, name, at, secret, key_version,
            ciphertext)
         select gen_random_uuid(), '{organisation}', '{project}', 'V' || n, 'both', true, 1, ''
         from generate_series(2, 1000) n;
         insert into environments (id, organisation_id, project_id, name, kind)
         select gen_random_uuid(), '{organisation}', '{project}', 'e' || n, 'staging'
         from generate_series(2, 50) n;
         insert into projects (id, organisation_id, slug, name, source_kind, url)
         select gen_random_uuid(), '{organisation}', 'p' || n, 'p', 'git', 'https://x.example/a'
         from generate_series(2, 500) n;"
    );
    world.database.run(script).await;
    let source = json!({ "kind": "git", "url": "https://example.com/a.git" });
    let value = json!({ "value": "x" });
    for (method, path, body) in [
        (Method::PUT, "/projects/shop/variables/ONE_MORE", value.clone()),
        (Method::POST, "/projects/shop/environments", json!({ "name": "more" })),
        (Method::POST, "/projects", json!({ "name": "more", "source": source })),
    ] {
        let problem = user.send(method, path, body).await.problem(422, "limit_reached");
        assert!(problem["detail"].as_str().unwrap().contains("at most"), "{path}: {problem}");
    }
    user.put("/projects/shop/variables/COLOUR", value).await.expect(200);
    let all = walk(&user, "/projects/shop/variables", 200, async || {}).await;
    let different: BTreeSet<String> = names(&all, "name").into_iter().collect();
    assert_eq!((all.len(), different.len()), (1000, 1000));
}

#[tokio::test]
async fn a_key_has_so_many_streams_and_no_more() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    Stock::new(&user).await;
    let open = async || {
        let path = "/projects/shop/environments/production/events";
        let request = user.request(Method::GET, path).header("accept", "text/event-stream");
        request.send().await.unwrap()
    };
    let mut streams = Vec::new();
    for _ in 0..100 {
        let stream = open().await;
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    let refused = open().await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    // Pages are no streams, and another key has its own.
    user.get("/projects/shop/environments/production/events").await.expect(200);
    streams.pop();
    let deadline = std::time::Instant::now() + zeitwork_database::testing::FACT_LIMIT;
    while open().await.status() != 200 {
        assert!(std::time::Instant::now() < deadline, "the closed one still counts");
    }
}

#[tokio::test]
async fn nobody_ends_a_key_that_may_do_more() {
    let world = World::start().await;
    let owner = world.user(Scope::Platform).await;
    let admin = world.colleague(owner.organisation, Scope::Admin).await;
    let path = |key| format!("/organisations/{}/api-keys/{key}", owner.organisation);
    admin.delete(&path(owner.key_id)).await.problem(403, "forbidden");
    Reply::of(owner.request(Method::GET, "/nodes")).await.expect(200);
    owner.delete(&path(admin.key_id)).await.expect(204);
    admin.get("/projects").await.problem(401, "unauthenticated");
}
