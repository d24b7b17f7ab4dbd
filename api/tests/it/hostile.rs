//! Hostile strings in every text field of every body that the document describes: what is taken
//! is kept to the byte, everything else is a 422 that names the field. An operation with a new
//! field is tried by itself.

use serde_json::{Value, json};
use zeitwork_model::id::ProjectId;
use zeitwork_model::scope::Scope;

use crate::every_endpoint::{Names, Operation, body, operations};
use crate::stock::Stock;
use crate::support::{Reply, User, World};

/// Strings that have broken something somewhere.
const HOSTILE: &[&str] = &[
    "",
    " ",
    "\t",
    "\n",
    "\r\nX-Injected: 1",
    "a\0b",
    "\u{1b}[31mred",
    "\u{7f}",
    "\u{85}",
    "null",
    "undefined",
    "NaN",
    "-1",
    "1e309",
    "true",
    "[]",
    "{}",
    "'",
    "''; drop table projects; --",
    "\" or 1=1 --",
    "\\",
    "\\u0000",
    "%00",
    "%2e%2e%2f",
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\windows",
    "$(touch /tmp/x)",
    "`id`",
    "; rm -rf /",
    "| cat",
    "&& true",
    "-rf",
    "--upload-pack=x",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "<!--",
    "]]>",
    "%s%s%n",
    "\u{feff}bom",
    "\u{202e}gnp.exe",
    "\u{200b}",
    "\u{200d}\u{200d}",
    "e\u{301}",
    "\u{e9}",
    "ﬁ",
    "İstanbul",
    "ß",
    "١٢٣",
    "😀",
    "👨‍👩‍👧‍👦",
    "𝒵",
    "\u{ffff}",
    "\u{10ffff}",
    "prj_00000000000000000000000000",
    "https://user:secret@example.com/a.git",
    "http://169.254.169.254/latest",
    "javascript:alert(1)",
    "refs/heads/main",
    "HEAD",
    "@{u}",
];

fn hostile() -> Vec<String> {
    let mut all: Vec<String> = HOSTILE.iter().map(|text| (*text).to_owned()).collect();
    all.extend(["x".repeat(300), "x".repeat(100_000), "ä".repeat(70), "../".repeat(50)]);
    all
}

/// Pointers of all texts in a schema.
fn texts(document: &Value, schema: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let schema = document.pointer(&name[1..]).unwrap();
        return texts(document, schema, at, found);
    }
    for one in ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| schema[key].as_array()) {
        for schema in one {
            texts(document, schema, at, found);
        }
    }
    let is = |kind: &str| {
        schema["type"] == kind
            || schema["type"].as_array().is_some_and(|all| all.contains(&json!(kind)))
    };
    if is("string") {
        found.push(at.to_owned());
    }
    if is("array") {
        texts(document, &schema["items"], &format!("{at}/0"), found);
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        texts(document, schema, &format!("{at}/{name}"), found);
    }
}

/// A body that is accepted, with nothing that may be there only once.
fn valid(operation: &str, user: &User<'_>) -> Value {
    let unique = format!("h{}", &ProjectId::new().0.simple().to_string()[14..]);
    let mut body = match operation {
        "assign_github_installation" => json!({ "organisation": user.organisation }),
        other => body(other).unwrap_or_else(|| json!({})),
    };
    match operation {
        "create_project" | "create_organisation" => body["slug"] = unique.into(),
        "create_environment" => body["name"] = unique.into(),
        _ => {}
    }
    body
}

/// Puts a text where the pointer says; what is above it comes into being.
fn put(body: &mut Value, pointer: &str, text: &str) {
    let source = json!({ "kind": "git", "url": "https://example.com/a.git" });
    let mut at = &mut *body;
    for part in pointer.split('/').skip(1) {
        at = match part {
            "0" => {
                *at = json!([Value::Null]);
                &mut at[0]
            }
            "source" if at["source"].is_null() => {
                at["source"] = source.clone();
                &mut at["source"]
            }
            name => &mut at[name],
        };
    }
    *at = text.into();
    // A deployment is of a reference or of a commit.
    if pointer == "/ref" {
        body.as_object_mut().unwrap().remove("commit");
    }
    if pointer == "/source/repository" {
        body["source"] = json!({ "kind": "github", "repository": text });
    }
}

fn says(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found == text,
        Value::Array(all) => all.iter().any(|value| says(value, text)),
        Value::Object(all) => all.values().any(|value| says(value, text)),
        _ => false,
    }
}

async fn send(user: &User<'_>, operation: &Operation, names: &Names, body: &Value) -> Reply {
    let request = user.request(operation.method.clone(), &names.fill(&operation.path));
    Reply::of(request.json(body)).await
}

async fn is_kept_or_refused(user: &User<'_>, pointer: &str, text: &str, reply: Reply) -> bool {
    if reply.status.is_success() {
        if says(&reply.body, text) {
            return true;
        }
        // A new project shows its environments in short.
        let Some(project) = reply.body["slug"].as_str() else { return false };
        let path = format!("/projects/{project}/environments");
        return says(&user.get(&path).await.expect(200), text);
    }
    if reply.status != 422 {
        return false;
    }
    let problem = reply.problem(422, "validation_failed");
    let field = pointer.split('/').nth(1).unwrap_or_default();
    let names = |it: &Value| it["pointer"].as_str().is_some_and(|it| it.contains(field));
    // A slug is made from a name.
    problem["errors"].as_array().unwrap().iter().any(|it| names(it) || it["pointer"] == "/slug")
}

#[tokio::test]
async fn a_hostile_text_is_kept_to_the_byte_or_refused_with_its_field() {
    let world = World::start().await;
    let document = Reply::of(world.http.get(world.url("/openapi.json"))).await.expect(200);
    let (mut tried, mut wrong) = (0, Vec::new());
    for operation in operations(&world).await {
        let verb = operation.method.as_str().to_lowercase();
        let description = &document["paths"][&operation.path][&verb];
        let schema = &description["requestBody"]["content"]["application/json"]["schema"];
        if schema.is_null() || operation.id == "receive_github_webhook" {
            continue;
        }
        let mut pointers = Vec::new();
        texts(&document, schema, "", &mut pointers);
        let user = world.user(Scope::Platform).await;
        let names = Names::of(&user, &Stock::new(&user).await);
        for pointer in pointers {
            for text in hostile() {
                let mut body = valid(&operation.id, &user);
                put(&mut body, &pointer, &text);
                let reply = send(&user, &operation, &names, &body).await;
                let shown = format!("{} {pointer} {text:?}: {}", operation.id, reply.text);
                if !is_kept_or_refused(&user, &pointer, &text, reply).await {
                    wrong.push(shown.chars().take(500).collect::<String>());
                }
                tried += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}: {wrong:#?}", wrong.len());
    assert!(tried > 1_000, "{tried}: the document was not understood");
}
