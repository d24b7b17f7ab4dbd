use serde_json::json;
use zeitwork_model::scope::Scope;

use crate::stock::Stock;
use crate::support::{Reply, World};

#[tokio::test]
async fn it_is_ready_when_a_node_and_an_edge_have_reported() {
    let world = World::start().await;
    let ready = || Reply::of(world.http.get(format!("http://{}/readyz", world.address)));
    let problem = ready().await.problem(503, "not_ready");
    let pointers: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/checks/edge", "/checks/node"]);
    let user = world.user(Scope::Write).await;
    let node = Stock::new(&user).await.node.0;
    let script = format!(
        "insert into node_reports (node_id, report) values ('{node}', '{{}}');
         insert into edges (id, name, version, lease_until)
         values (gen_random_uuid(), 'edge', '1', now() + interval '1 hour');"
    );
    world.database.run(script).await;
    let deadline = tokio::time::Instant::now() + zeitwork_database::testing::FACT_LIMIT;
    while ready().await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline, "never ready");
        tokio::task::yield_now().await;
    }
    let checks = &ready().await.expect(200)["checks"];
    assert_eq!(checks["edge"]["detail"], "1 edge with a living lease");
    assert_eq!(checks["node"]["detail"], "1 node that reported in the last 20 s");
    let health = Reply::of(world.http.get(format!("http://{}/healthz", world.address))).await;
    assert_eq!(health.expect(200)["status"], "ok");
}

#[tokio::test]
async fn metrics_and_details_are_for_this_host_and_the_platform() {
    let world = World::start().await;
    let (owner, user) = (world.user(Scope::Platform).await, world.user(Scope::Admin).await);
    let get = || {
        let url = format!("http://{}/metrics", world.address);
        world.http.get(url).header("x-forwarded-for", "192.0.2.1")
    };
    Reply::of(get()).await.problem(404, "not_found");
    Reply::of(get().bearer_auth(&user.key)).await.problem(404, "not_found");
    let metrics = Reply::of(get().bearer_auth(&owner.key)).await;
    assert!(metrics.text.contains("zeitwork_streams_open 0"), "{}", metrics.text);
}

#[tokio::test]
async fn what_is_not_ready_is_told_from_afar_to_the_platform_alone() {
    let world = World::start().await;
    let (owner, user) = (world.user(Scope::Platform).await, world.user(Scope::Admin).await);
    let get = || {
        let url = format!("http://{}/readyz", world.address);
        world.http.get(url).header("x-forwarded-for", "192.0.2.1")
    };
    for request in [get(), get().bearer_auth("zk_none"), get().bearer_auth(&user.key)] {
        assert_eq!(Reply::of(request).await.problem(503, "not_ready")["errors"], json!([]));
    }
    let told = Reply::of(get().bearer_auth(&owner.key)).await.problem(503, "not_ready");
    assert_eq!(told["errors"][0]["pointer"], "/checks/edge", "{told}");
    assert_eq!(told["errors"][1]["detail"], "no nodes that reported in the last 20 s");
}

#[tokio::test]
async fn the_platform_sees_and_drains_nodes() {
    let world = World::start().await;
    let owner = world.user(Scope::Platform).await;
    let stock = Stock::new(&owner).await;
    let path = format!("/nodes/{}", stock.node);
    assert_eq!(owner.get(&path).await.expect(200)["status"], "ready");
    let cordoned = owner.post(&format!("{path}/cordon"), json!({})).await.expect(202);
    assert_eq!(cordoned["status"], "cordoned");
    owner.post(&format!("{path}/cordon"), json!({})).await.problem(409, "stale");
    let draining = owner.post(&format!("{path}/drain"), json!({})).await.expect(202);
    assert_eq!(draining["status"], "draining");
    let ready = owner.post(&format!("{path}/uncordon"), json!({})).await.expect(202);
    assert_eq!(ready["status"], "ready");
}

#[tokio::test]
async fn the_system_describes_itself() {
    let world = World::start().await;
    let owner = world.user(Scope::Platform).await;
    assert_eq!(owner.get("/system/consistency").await.expect(200)["consistent"], true);
    assert_eq!(owner.get("/system/reconcilers").await.expect(200)["items"], json!([]));
    let rows = "insert into reconciler_reports
            (name, last_pass_at, duration_ms, passes, actions, drift_found)
        select name, now(), 1, 1, 0, 0 from unnest(array['routes', 'builds', 'nodes']) as name";
    world.database.run(rows).await;
    let first = owner.get("/system/reconcilers?limit=2").await.expect(200);
    let names = |page: &serde_json::Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items.iter().map(|item| crate::stock::text(&item["name"])).collect()
    };
    assert_eq!(names(&first), ["builds", "nodes"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = owner.get(&format!("/system/reconcilers?limit=2&cursor={cursor}")).await;
    let second = second.expect(200);
    assert_eq!((names(&second), &second["next_cursor"]), (vec!["routes".to_owned()], &json!(null)));
    let version = owner.get("/system/version").await.expect(200);
    assert_eq!(version["installation"].as_str().unwrap().len(), 8);
    let page = Reply::of(world.http.get(world.url("/docs"))).await;
    assert_eq!(page.status, 200);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"));
    assert!(!page.text.contains("http://") && !page.text.contains("https://"), "no other host");
    assert!(page.text.contains("}).catch(error => {"), "what keeps it from being shown is said");
}

#[tokio::test]
async fn a_delivery_is_replayed_by_those_who_own_its_repository() {
    let world = World::start().await;
    let (user, other) = (world.user(Scope::Write).await, world.user(Scope::Write).await);
    let stock = Stock::new(&user).await;
    other.project("mine").await;
    let done = "update webhook_deliveries set status = 'dead', attempts = 9";
    world.database.run(done).await;
    let list = user.get("/projects/shop/webhook-deliveries").await.expect(200);
    assert_eq!(list["items"][0]["id"], stock.delivery.to_string());
    let stranger = format!("/projects/mine/webhook-deliveries/{}/replay", stock.delivery);
    other.post(&stranger, json!({})).await.problem(404, "not_found");
    let path = format!("/projects/shop/webhook-deliveries/{}/replay", stock.delivery);
    assert_eq!(user.post(&path, json!({})).await.expect(202)["status"], "pending");
}

#[tokio::test]
async fn an_unknown_path_or_method_is_a_problem_too() {
    let world = World::start().await;
    let user = world.user(Scope::Read).await;
    user.get("/nothing").await.problem(404, "not_found");
    user.get("/api/v2/projects").await.problem(404, "not_found");
    user.put("/projects", json!({})).await.problem(405, "method_not_allowed");
    let writer = world.user(Scope::Write).await;
    let large = json!({ "name": "a".repeat(2_000_000) });
    writer.post("/projects", large).await.problem(413, "payload_too_large");
    let request = writer.request(reqwest::Method::POST, "/projects");
    let broken = request.header("content-type", "application/json").body("{");
    Reply::of(broken).await.problem(400, "malformed_json");
    let request = writer.request(reqwest::Method::POST, "/projects");
    Reply::of(request.body("{}")).await.problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn without_the_database_it_says_when_to_come_back() {
    let world = World::start().await;
    let user = world.user(Scope::Read).await;
    world.pool.close().await;
    let reply = user.get("/projects").await;
    assert!(reply.headers.contains_key("retry-after"));
    reply.problem(503, "database_unavailable");
}
