use serde_json::{Value, json};
use zeitwork_database::variables;
use zeitwork_model::scope::Scope;

use crate::stock::{COMMIT, Stock};
use crate::support::World;

#[tokio::test]
async fn a_secret_is_stored_encrypted_and_never_shown() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    let stock = Stock::new(&user).await;
    let plain = json!({ "value": "verbose", "secret": false, "at": "run" });
    let set = user.put("/projects/shop/variables/LOG", plain).await.expect(200);
    assert_eq!((&set["value"], &set["at"]), (&json!("verbose"), &json!("run")));
    let staging = json!({ "name": "staging" });
    user.post("/projects/shop/environments", staging).await.expect(201);
    let own = json!({ "value": "quiet", "secret": false, "environment": "staging" });
    user.put("/projects/shop/variables/LOG", own).await.expect(200);
    let list = user.get("/projects/shop/variables").await.expect(200);
    let values: Vec<&Value> =
        list["items"].as_array().unwrap().iter().map(|it| &it["value"]).collect();
    assert_eq!(values, [&Value::Null, &json!("verbose"), &json!("quiet")]);
    let one = user.get("/projects/shop/variables/LOG?environment=staging").await.expect(200);
    assert_eq!(one["value"], "quiet");
    let mut connection = world.database.owner.acquire().await.unwrap();
    let rows =
        variables::list(&mut connection, user.organisation, stock.project, None, 10).await.unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        let stored = String::from_utf8_lossy(&row.ciphertext).into_owned();
        assert!(!["blue-canary", "verbose", "quiet"].iter().any(|it| stored.contains(it)));
    }
    user.delete("/projects/shop/variables/LOG?environment=staging").await.expect(204);
    user.delete("/projects/shop/variables/LOG?environment=staging").await.problem(404, "not_found");
    for name in ["PORT", "ZEITWORK_X", "1A", "A-B"] {
        let path = format!("/projects/shop/variables/{name}");
        user.put(&path, json!({ "value": "x" })).await.problem(422, "validation_failed");
    }
    user.put("/projects/shop/variables/A", json!({ "value": "a\0b" })).await.expect(422);
}

#[tokio::test]
async fn a_changed_variable_deploys_only_when_told_to() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    let stock = Stock::new(&user).await;
    stock.retire(&user).await;
    let deployment = stock.deployment.0;
    world
        .database
        .run(format!("update deployments set status = 'live' where id = '{deployment}'"))
        .await;
    let count = || async {
        let list = user.get("/projects/shop/deployments").await.expect(200);
        list["items"].as_array().unwrap().len()
    };
    user.put("/projects/shop/variables/A", json!({ "value": "1" })).await.expect(200);
    assert_eq!(count().await, 1);
    user.put("/projects/shop/variables/A?deploy=true", json!({ "value": "2" })).await.expect(200);
    assert_eq!(count().await, 2);
    let newest = user.get("/projects/shop/deployments?limit=1").await.expect(200);
    assert_eq!(newest["items"][0]["trigger"], "redeploy");
    assert_eq!(newest["items"][0]["commit"], COMMIT);
}

#[tokio::test]
async fn a_rollback_is_a_new_wish_for_the_old_deployment() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    user.project("empty").await;
    let nothing = user.post("/projects/empty/environments/production/rollback", json!({})).await;
    nothing.problem(409, "conflict");
    let stock = Stock::new(&user).await;
    stock.retire(&user).await;
    let path = "/projects/shop/environments/production/rollback";
    let without_body = user.request(reqwest::Method::POST, path);
    let back = crate::support::Reply::of(without_body).await.expect(202);
    assert_eq!(back["id"], stock.deployment.to_string());
    assert_eq!(back["status"], "starting");
    let other = json!({ "deployment": zeitwork_model::id::DeploymentId::new() });
    user.post(path, other).await.problem(404, "not_found");
}

#[tokio::test]
async fn an_environment_is_scaled_paused_and_resumed() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    Stock::new(&user).await;
    let path = "/projects/shop/environments/production";
    let scaled = user.post(&format!("{path}/scale"), json!({ "replicas": 4 })).await.expect(202);
    assert_eq!(scaled["replicas"], 4);
    let unknown = json!({ "process": "worker", "replicas": 1 });
    user.post(&format!("{path}/scale"), unknown).await.problem(422, "validation_failed");
    assert_eq!(user.post(&format!("{path}/pause"), json!({})).await.expect(202)["paused"], true);
    assert_eq!(user.post(&format!("{path}/resume"), json!({})).await.expect(202)["paused"], false);
    let metrics = user.get(&format!("{path}/metrics")).await.expect(200);
    assert_eq!(metrics["instances"].as_array().unwrap().len(), 1);
}

/// Names that have broken somebody.
fn hostile_names() -> Vec<String> {
    let mut hostile: Vec<String> = [
        "$(touch /tmp/x)",
        "`id`",
        "; rm -rf /",
        "| cat /etc/passwd",
        "&& true",
        "> /tmp/x",
        "'; drop table projects; --",
        "\" or 1=1",
        "%s%n",
        "${jndi:ldap://x}",
        "{{7*7}}",
        "<script>alert(1)</script>",
        "<!--",
        "]]>",
        "../../etc/passwd",
        "..\\..\\x",
        "/dev/null",
        "--help",
        "-rf",
        "C:\\x",
        "~root",
        "*",
        "?",
        "[a-z]",
        "\\x00",
        "\\u0000",
        "\u{feff}x",
        "\u{202e}abc",
        "e\u{301}",
        "𝕫𝕖𝕚𝕥",
        "🦀",
        "\u{200b}x",
        "ﷺ",
        "İi",
        "ß",
        "null",
        "true",
        "NaN",
        "1e309",
        "prj_01hx3zj0q7k8m9n2p4r5s6t7vw",
        "admin",
        "localhost",
    ]
    .map(str::to_owned)
    .to_vec();
    hostile.extend((0u8..32).map(|code| format!("a{}b", char::from(code))));
    hostile.extend(["\u{7f}", "\u{85}", "\u{9b}31m"].map(str::to_owned));
    hostile.extend(["a".repeat(100), "a".repeat(101), "é".repeat(101), "a".repeat(100_000)]);
    hostile
}

#[tokio::test]
async fn hostile_names_come_back_as_they_were_or_not_at_all() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    for (number, name) in hostile_names().iter().enumerate() {
        let source = json!({ "kind": "git", "url": "https://example.com/a.git" });
        let body = json!({ "name": name, "slug": format!("p{number}"), "source": source });
        let reply = user.post("/projects", body).await;
        match reply.status.as_u16() {
            201 => assert_eq!(reply.body["name"], name.as_str()),
            422 => {}
            status => panic!("{name:?}: {status} {}", reply.text),
        }
    }
}
