//! Coverage by construction: each operation of the document is called without a key, with each
//! kind of key, and as another organisation. One that this file does not know fails.

use reqwest::Method;
use serde_json::{Value, json};
use zeitwork_model::id::{
    ApiKeyId, BuildId, DeliveryId, DeploymentId, InstanceId, NodeId, OrganisationId, ProjectId,
};
use zeitwork_model::scope::Scope;

use crate::stock::{COMMIT, Stock};
use crate::support::{Reply, User, World};

/// The least scope that each operation needs.
const NEEDS: [(Scope, &[&str]); 4] = [
    (
        Scope::Read,
        &[
            "list_projects",
            "get_project",
            "list_environments",
            "get_environment",
            "get_environment_metrics",
            "get_environment_logs",
            "get_environment_events",
            "list_variables",
            "get_variable",
            "list_domains",
            "list_deployments",
            "get_deployment",
            "get_deployment_logs",
            "list_builds",
            "get_build",
            "get_build_logs",
            "list_instances",
            "get_instance",
            "list_webhook_deliveries",
            "list_organisations",
            "get_organisation",
            "list_github_installations",
        ],
    ),
    (
        Scope::Write,
        &[
            "create_project",
            "update_project",
            "delete_project",
            "create_environment",
            "update_environment",
            "delete_environment",
            "put_variable",
            "delete_variable",
            "create_deployment",
            "cancel_deployment",
            "roll_back",
            "redeploy",
            "scale",
            "pause",
            "resume",
            "cancel_build",
            "retry_build",
            "replay_webhook_delivery",
        ],
    ),
    (
        Scope::Admin,
        &[
            "create_api_key",
            "list_api_keys",
            "revoke_api_key",
            "list_audit_events",
            "release_github_installation",
        ],
    ),
    (
        Scope::Platform,
        &[
            "create_organisation",
            "assign_github_installation",
            "list_nodes",
            "get_node",
            "cordon_node",
            "uncordon_node",
            "drain_node",
            "list_reconcilers",
            "check_consistency",
            "get_version",
            "list_all_webhook_deliveries",
            "replay_any_webhook_delivery",
        ],
    ),
];

fn needs(operation: &str) -> Option<Scope> {
    NEEDS.iter().find(|(_, operations)| operations.contains(&operation)).map(|(scope, _)| *scope)
}

/// A body that is accepted.
pub fn body(operation: &str) -> Option<Value> {
    Some(match operation {
        "create_project" => json!({
            "name": "new", "source": { "kind": "git", "url": "https://example.com/a.git" }
        }),
        "update_project" => json!({ "name": "Renamed" }),
        "create_environment" => json!({ "name": "staging" }),
        "update_environment" => json!({ "replicas": 2 }),
        "put_variable" => json!({ "value": "x", "secret": false }),
        "create_deployment" => json!({ "environment": "production", "commit": COMMIT }),
        "scale" => json!({ "replicas": 2 }),
        "create_api_key" => json!({ "name": "ci", "scope": "read" }),
        "create_organisation" => json!({ "name": format!("o{}", ProjectId::new().0.simple()) }),
        _ => return None,
    })
}

pub struct Operation {
    pub id: String,
    pub method: Method,
    pub path: String,
    /// The status of its success.
    success: u16,
}

/// Everything that the document describes.
pub async fn operations(world: &World) -> Vec<Operation> {
    let served = Reply::of(world.http.get(world.url("/openapi.json"))).await;
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let committed = std::fs::read_to_string(committed).unwrap();
    assert!(served.text == committed, "api/openapi.json is not current: `cargo xtask openapi`");
    let document = served.expect(200);
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            let method = method.to_uppercase().parse().unwrap();
            let answers = operation["responses"].as_object().unwrap().keys();
            let success = answers.map(|status| status.parse().unwrap()).min().unwrap();
            all.push(Operation { id, method, path: path.clone(), success });
        }
    }
    all
}

/// The values of the path's parameters: what is there, or what never was.
pub struct Names(Vec<(&'static str, String)>);

impl Names {
    pub fn of(user: &User<'_>, stock: &Stock) -> Self {
        Self(vec![
            ("organisation", user.organisation.to_string()),
            ("project", stock.project.to_string()),
            ("environment", "production".to_owned()),
            ("deployment", stock.deployment.to_string()),
            ("build", stock.build.to_string()),
            ("instance", stock.instance.to_string()),
            ("node", stock.node.to_string()),
            ("delivery", stock.delivery.to_string()),
            ("key", user.key_id.to_string()),
            ("installation", stock.installation.to_string()),
            ("name", "COLOUR".to_owned()),
        ])
    }

    pub fn random() -> Self {
        Self(vec![
            ("organisation", OrganisationId::new().to_string()),
            ("project", ProjectId::new().to_string()),
            ("environment", "production".to_owned()),
            ("deployment", DeploymentId::new().to_string()),
            ("build", BuildId::new().to_string()),
            ("instance", InstanceId::new().to_string()),
            ("node", NodeId::new().to_string()),
            ("delivery", DeliveryId::new().to_string()),
            ("key", ApiKeyId::new().to_string()),
            ("installation", "4294967296".to_owned()),
            ("name", "COLOUR".to_owned()),
        ])
    }

    pub fn fill(&self, path: &str) -> String {
        let filled = self.0.iter().fold(path.to_owned(), |path, (name, value)| {
            path.replace(&format!("{{{name}}}"), value)
        });
        assert!(!filled.contains('{'), "{path} has a parameter that this test does not know");
        filled
    }
}

async fn call(user: &User<'_>, operation: &Operation, names: &Names) -> Reply {
    let request = user.request(operation.method.clone(), &names.fill(&operation.path));
    let body = match operation.id.as_str() {
        "assign_github_installation" => Some(json!({ "organisation": user.organisation })),
        other => body(other),
    };
    match body {
        Some(body) => Reply::of(request.json(&body)).await,
        None => Reply::of(request).await,
    }
}

fn without_request_id(mut body: Value) -> Value {
    body["request_id"] = Value::Null;
    body
}

#[tokio::test]
async fn every_operation_is_known() {
    let world = World::start().await;
    for operation in operations(&world).await {
        let open = operation.id == "receive_github_webhook";
        assert!(open || needs(&operation.id).is_some(), "{} is not known here", operation.id);
    }
}

#[tokio::test]
async fn without_a_key_every_operation_is_closed() {
    let world = World::start().await;
    let names = Names::random();
    let wrong = zeitwork_auth::ApiKey::generate();
    for (number, operation) in (1..).zip(operations(&world).await) {
        let url = world.url(&names.fill(&operation.path));
        // From an address of its own each: one that shows many wrong keys is slowed down.
        let address = std::net::IpAddr::from([127, 0, 1, number]);
        let stranger = reqwest::Client::builder().local_address(address).build().unwrap();
        let request = || stranger.request(operation.method.clone(), &url);
        let code = match operation.id.as_str() {
            "receive_github_webhook" => "signature_invalid",
            _ => "unauthenticated",
        };
        Reply::of(request()).await.problem(401, code);
        Reply::of(request().bearer_auth(wrong.expose())).await.problem(401, code);
    }
}

#[tokio::test]
async fn every_operation_is_open_from_its_scope_on() {
    let world = World::start().await;
    let mut refused = Vec::new();
    for operation in operations(&world).await {
        let Some(needed) = needs(&operation.id) else { continue };
        let owner = world.user(Scope::Write).await;
        let stock = Stock::new(&owner).await;
        stock.prepare(&owner, &operation.id).await;
        let mut names = Names::of(&owner, &stock);
        if operation.id == "delete_environment" {
            // Production goes only with its project.
            let staging = json!({ "name": "staging" });
            owner.post("/projects/shop/environments", staging).await.expect(201);
            names.0.insert(0, ("environment", "staging".to_owned()));
        }
        for &scope in Scope::ALL.iter().filter(|scope| **scope < needed) {
            let weak = world.colleague(owner.organisation, scope).await;
            let url = names.fill(&operation.path);
            let reply = Reply::of(weak.request(operation.method.clone(), &url)).await;
            reply.problem(403, "forbidden");
        }
        let fit = world.colleague(owner.organisation, needed).await;
        let reply = call(&fit, &operation, &names).await;
        if reply.status.as_u16() != operation.success {
            refused.push(format!("{} with {needed}: {}", operation.id, reply.text));
            continue;
        }
        assert!(!reply.text.contains("blue-canary"), "{} shows a secret", operation.id);
        if matches!(reply.status.as_u16(), 201 | 202) {
            let location = reply.headers["location"].to_str().unwrap();
            let platform = world.colleague(owner.organisation, Scope::Platform).await;
            assert_ne!(platform.get(location).await.status, 404, "{location} of {}", operation.id);
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

#[tokio::test]
async fn another_organisation_finds_nothing_anywhere() {
    let world = World::start().await;
    let owner = world.user(Scope::Admin).await;
    let stock = Stock::new(&owner).await;
    let (names, random) = (Names::of(&owner, &stock), Names::random());
    let secrets: Vec<&String> =
        names.0.iter().filter(|it| it.1.contains('_')).map(|it| &it.1).collect();
    for operation in operations(&world).await {
        let Some(needed) = needs(&operation.id).filter(|scope| *scope < Scope::Platform) else {
            continue;
        };
        let stranger = world.user(Scope::Admin).await;
        let reply = call(&stranger, &operation, &names).await;
        if operation.path.contains('{') {
            let never = call(&stranger, &operation, &random).await.problem(404, "not_found");
            let found = reply.problem(404, "not_found");
            assert_eq!(without_request_id(found), without_request_id(never), "{}", operation.id);
        } else {
            assert!(reply.status.is_success(), "{} ({needed}): {}", operation.id, reply.text);
            let leak = secrets.iter().find(|secret| reply.text.contains(secret.as_str()));
            assert_eq!(leak, None, "{}: {}", operation.id, reply.text);
        }
    }
    let still = owner.get("/projects/shop").await.expect(200);
    assert_eq!(still["name"], "shop", "nothing was changed by strangers");
}

#[tokio::test]
async fn a_name_of_another_kind_is_simply_not_there() {
    let world = World::start().await;
    let user = world.user(Scope::Platform).await;
    let hostile =
        ["x", "%00", "%FF", "..%2F..", "dep_", "dep_zzzzzzzzzzzzzzzzzzzzzzzzzz", "%27%3B--"];
    for operation in operations(&world).await {
        let Some((head, _)) = operation.path.split_once('{') else { continue };
        if needs(&operation.id).is_none() || operation.id == "put_variable" {
            continue;
        }
        for name in hostile {
            let tail = operation.path.matches('{').count();
            let rest: Vec<&str> = operation.path[head.len()..].split('/').collect();
            let filled = rest.iter().map(|part| if part.starts_with('{') { name } else { part });
            let url = format!("{head}{}", filled.collect::<Vec<_>>().join("/"));
            let request = user.request(operation.method.clone(), &url);
            let reply = match body(&operation.id) {
                Some(body) => Reply::of(request.json(&body)).await,
                None => Reply::of(request).await,
            };
            let status = reply.status.as_u16();
            assert!(matches!(status, 400 | 404), "{url} ({tail}): {status} {}", reply.text);
        }
    }
}
