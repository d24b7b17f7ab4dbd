use serde_json::json;
use zeitwork_model::scope::Scope;

use crate::support::World;

#[tokio::test]
async fn a_project_is_made_with_production_and_an_address() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    let source = json!({ "kind": "github", "repository": "acme/shop" });
    let reply = user.post("/projects", json!({ "name": "My Shop!", "source": source })).await;
    let location = reply.headers["location"].to_str().unwrap().to_owned();
    let project = reply.expect(201);
    assert_eq!(project["slug"], "my-shop");
    assert_eq!(project["environments"][0]["name"], "production");
    assert_eq!(project["environments"][0]["address"], "http://my-shop.localhost:8080");
    assert_eq!(user.get(&location).await.expect(200), project);
    assert_eq!(user.get("/projects/my-shop").await.expect(200), project);
}

#[tokio::test]
async fn a_slug_is_unique_in_its_organisation_and_an_address_over_all() {
    let world = World::start().await;
    let (one, two) = (world.user(Scope::Write).await, world.user(Scope::Write).await);
    one.project("shop").await;
    let source = json!({ "kind": "git", "url": "https://example.com/a.git" });
    let again = one.post("/projects", json!({ "name": "Shop", "source": source })).await;
    assert_eq!(again.problem(409, "name_taken")["errors"][0]["pointer"], "/slug");
    let other = two.project("shop").await;
    let address = other["environments"][0]["address"].as_str().unwrap();
    assert_ne!(address, "http://shop.localhost:8080");
    assert!(address.starts_with("http://shop-"), "{address}");
}

#[tokio::test]
async fn a_reserved_label_is_never_given_out() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    for name in ["api", "www", "zeitwork", "status"] {
        let project = user.project(name).await;
        let address = project["environments"][0]["address"].as_str().unwrap();
        assert!(address.starts_with(&format!("http://{name}-")), "{address}");
    }
}

#[tokio::test]
async fn every_mistake_is_named_by_its_pointer() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    let source = json!({ "kind": "git", "url": "https://x.example/a", "root_directory": "../up" });
    let body = json!({ "name": "", "slug": "-", "source": source, "branch": "a b" });
    let problem = user.post("/projects", body).await.problem(422, "validation_failed");
    let errors = problem["errors"].as_array().unwrap();
    let pointers: Vec<&str> = errors.iter().map(|it| it["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/branch", "/name", "/slug", "/source/root_directory"]);
    let wrong_type = user.post("/projects", json!({ "name": 1 })).await;
    assert_eq!(wrong_type.problem(422, "validation_failed")["errors"][0]["pointer"], "/name");
    let unknown = user.post("/projects", json!({ "colour": "red" })).await;
    unknown.problem(422, "validation_failed");
}

#[tokio::test]
async fn a_hostile_repository_url_is_refused() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    let long = format!("https://example.com/{}", "a".repeat(3000));
    let hostile = [
        "",
        " ",
        "example.com/a.git",
        "http://example.com/a.git",
        "ssh://git@example.com/a.git",
        "git@example.com:a.git",
        "git://example.com/a.git",
        "file:///etc/passwd",
        "ext::sh -c touch% /tmp/x",
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=x",
        "https://user:secret@example.com/a.git",
        "https://token@example.com/a.git",
        "https://",
        "https:///a",
        "https:/example.com/a",
        "https:\\\\example.com\\a",
        "HTTPS://example.com/a.git",
        "https://example.com",
        "https://example.com/",
        "https://example.com/a.git?x=1",
        "https://example.com/a.git#x",
        "https://example.com/a b",
        "https://example.com/a\nb",
        "https://example.com/a\0b",
        "https://exa\u{202e}mple.com/a\tb",
        "https://[::1",
        "javascript:alert(1)",
        "http://127.0.0.1:9998/a.git",
        "http://127.0.0.1/a.git",
        &long,
    ];
    for url in hostile {
        let source = json!({ "kind": "git", "url": url });
        let reply = user.post("/projects", json!({ "name": "x", "source": source })).await;
        let problem = reply.problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["pointer"], "/source/url", "{url:?}");
    }
    let source = json!({ "kind": "git", "url": "http://127.0.0.1:9999/a.git" });
    user.post("/projects", json!({ "name": "x", "source": source })).await.expect(201);
}

#[tokio::test]
async fn another_organisation_sees_nothing() {
    let world = World::start().await;
    let (owner, stranger) = (world.user(Scope::Admin).await, world.user(Scope::Admin).await);
    let project = owner.project("secret").await;
    let id = project["id"].as_str().unwrap();
    for name in [id, "secret"] {
        stranger.get(&format!("/projects/{name}")).await.problem(404, "not_found");
        stranger.patch(&format!("/projects/{name}"), json!({})).await.problem(404, "not_found");
        stranger.delete(&format!("/projects/{name}")).await.problem(404, "not_found");
    }
    assert_eq!(stranger.get("/projects").await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn a_list_is_paged_without_gap_or_repeat() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    for number in 0..5 {
        user.project(&format!("p{number}")).await;
    }
    let (mut seen, mut path) = (Vec::new(), "/projects?limit=2".to_owned());
    loop {
        let page = user.get(&path).await.expect(200);
        seen.extend(page["items"].as_array().unwrap().iter().map(|it| it["slug"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/projects?limit=2&cursor={cursor}");
    }
    assert_eq!(json!(seen), json!(["p4", "p3", "p2", "p1", "p0"]));
    for bad in ["limit=0", "limit=201", "limit=x"] {
        user.get(&format!("/projects?{bad}")).await.problem(422, "validation_failed");
    }
    user.get("/projects?cursor=%00").await.problem(400, "invalid_cursor");
}

#[tokio::test]
async fn a_project_is_changed_and_deleted() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    user.project("shop").await;
    let change = json!({ "name": "Store", "slug": "store" });
    let project = user.patch("/projects/shop", change).await.expect(200);
    assert_eq!(project["environments"][0]["address"], "http://shop.localhost:8080");
    user.get("/projects/shop").await.problem(404, "not_found");
    user.delete("/projects/store").await.expect(204);
    user.get("/projects/store").await.problem(404, "not_found");
    user.project("store").await;
}

#[tokio::test]
async fn an_environment_keeps_what_it_is_told() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    user.project("shop").await;
    let made = json!({ "name": "staging", "branch": "feature/**" });
    let staging = user.post("/projects/shop/environments", made).await.expect(201);
    assert_eq!(staging["address"], "http://shop-staging.localhost:8080");
    let change = json!({
        "branch": null, "replicas": 3, "port": 3000, "command": ["node", "a b.js"],
        "health": { "path": "/up" }, "limits": { "memory_mb": 64 }, "drain_seconds": 5
    });
    let path = "/projects/shop/environments/staging";
    let changed = user.patch(path, change).await.expect(200);
    assert_eq!(changed["branch"], json!(null));
    assert_eq!(changed["command"], json!(["node", "a b.js"]));
    assert_eq!(changed["health"]["path"], "/up");
    assert_eq!(changed["health"]["grace_ms"], staging["health"]["grace_ms"]);
    assert_eq!(changed["limits"], json!({ "cpu_millis": 1000, "memory_mb": 64 }));
    let port = user.patch(path, json!({ "port": null })).await.expect(200);
    assert_eq!((&port["port"], &port["replicas"]), (&json!(null), &json!(3)));
    for bad in [json!({ "replicas": 101 }), json!({ "port": 0 }), json!({ "port": 70000 })] {
        user.patch(path, bad).await.problem(422, "validation_failed");
    }
    user.delete("/projects/shop/environments/production").await.problem(409, "conflict");
    user.delete(path).await.expect(204);
    user.get(path).await.problem(404, "not_found");
}
