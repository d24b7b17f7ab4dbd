use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What the platform's webhook endpoint would see.
#[derive(Clone, Default)]
struct Receiver {
    seen: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    answer: Arc<Mutex<u16>>,
}

impl Receiver {
    async fn start(&self) -> String {
        *self.answer.lock().unwrap() = 202;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1/webhooks/github", listener.local_addr().unwrap());
        let this = self.clone();
        let handler = post(async move |headers: HeaderMap, body: Bytes| {
            this.seen.lock().unwrap().push((headers, body));
            StatusCode::from_u16(*this.answer.lock().unwrap()).unwrap()
        });
        let router = Router::new().route("/api/v1/webhooks/github", handler);
        world_clock::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn seen(&self) -> Vec<(HeaderMap, Bytes)> {
        self.seen.lock().unwrap().clone()
    }
}

async fn world() -> (Github, Receiver) {
    let receiver = Receiver::default();
    let url = receiver.start().await;
    let options = Options { webhook_url: Some(url), ..Options::default() };
    (Github::start(options).await.unwrap(), receiver)
}

fn jwt(github: &Github) -> String {
    let now = world_clock::now().unix_timestamp();
    let claims = json!({"iss": github.app_id(), "iat": now - 60, "exp": now + 540});
    let pem = std::fs::read(github.private_key_file()).unwrap();
    let key = EncodingKey::from_rsa_pem(&pem).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap()
}

async fn call(
    github: &Github,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: Value,
) -> (StatusCode, Value, HeaderMap) {
    let stream = TcpStream::connect(github.address).await.unwrap();
    let mut request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(path)
        .header("Host", github.address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    let request = request.body(Full::new(body)).unwrap();
    let answer: Response<Bytes> = http::send(stream, request).await.unwrap();
    let value = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
    (answer.status(), value, answer.headers().clone())
}

async fn ask(github: &Github, what: (&str, &str), token: &str, body: Value) -> (StatusCode, Value) {
    let authorization = format!("Bearer {token}");
    let headers = [("User-Agent", "test"), ("Authorization", authorization.as_str())];
    let (status, value, _) = call(github, what, &headers, body).await;
    (status, value)
}

async fn token(github: &Github, installation: u64, body: Value) -> String {
    let path = format!("/api/v3/app/installations/{installation}/access_tokens");
    let (status, value) = ask(github, ("POST", &path), &jwt(github), body).await;
    assert_eq!(status, 201, "{value}");
    value["token"].as_str().unwrap().to_owned()
}

/// A clone as the node agent does it: the token in a header, nowhere else.
async fn clone(url: &str, token: Option<&str>, to: &Path) -> Result<String, GitError> {
    use base64::Engine;
    let encode =
        |t| base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{t}"));
    let header = token.map(|t| format!("http.extraHeader=Authorization: Basic {}", encode(t)));
    let mut arguments: Vec<&str> = header.iter().flat_map(|h| ["-c", h.as_str()]).collect();
    arguments.extend(["clone", "--quiet", url, to.to_str().unwrap()]);
    git::run(Path::new("/"), &arguments).await
}

#[tokio::test]
async fn a_push_is_told_in_a_signed_webhook() {
    let (github, receiver) = world().await;
    let shop = github.repository("acme/shop").await.unwrap();
    let sha = shop.commit(&[("Dockerfile", "FROM busybox\n")], "First").await.unwrap();
    shop.push().await.unwrap();
    let deliveries = github.wait_for_deliveries(1).await.unwrap();
    assert_eq!((deliveries[0].status_code, deliveries[0].status.as_str()), (202, "Accepted"));

    let (headers, body) = receiver.seen().remove(0);
    let key = hmac::Key::new(hmac::HMAC_SHA256, github.webhook_secret().as_bytes());
    let signature = headers["x-hub-signature-256"].to_str().unwrap();
    let signature = hex::decode(signature.strip_prefix("sha256=").unwrap()).unwrap();
    hmac::verify(&key, &body, &signature).unwrap();
    assert_eq!(headers["x-github-event"], "push");
    assert_eq!(headers["x-github-delivery"], deliveries[0].event.guid);
    assert_eq!(headers["content-type"], "application/json");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("GitHub-Hookshot/"));

    let payload: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(payload["ref"], "refs/heads/main");
    assert_eq!((&payload["after"], &payload["head_commit"]["id"]), (&json!(sha), &json!(sha)));
    assert_eq!(payload["before"], "0".repeat(40));
    assert_eq!((&payload["created"], &payload["forced"]), (&json!(true), &json!(false)));
    assert_eq!(payload["repository"]["id"], shop.id);
    assert_eq!(payload["repository"]["clone_url"], shop.clone_url);
    assert_eq!(payload["installation"]["id"], shop.installation);
    assert_eq!(payload["commits"][0]["added"], json!(["Dockerfile"]));
    assert_eq!(payload["head_commit"]["message"], "First");
}

#[tokio::test]
async fn forced_new_and_deleted_branches_are_told_as_such() {
    let (github, _receiver) = world().await;
    let shop = github.repository("acme/shop").await.unwrap();
    let first = shop.commit(&[("a", "1")], "One").await.unwrap();
    shop.push().await.unwrap();
    let second = shop.commit(&[("a", "2"), ("b/c", "3")], "Two").await.unwrap();
    shop.push().await.unwrap();
    shop.reset(&first).await.unwrap();
    let third = shop.commit(&[("a", "4")], "Three").await.unwrap();
    shop.force_push().await.unwrap();
    shop.switch("feature/x").await.unwrap();
    shop.push().await.unwrap();
    shop.delete_branch("feature/x").await.unwrap();
    github.wait_for_deliveries(5).await.unwrap();

    let told: Vec<_> = github.events().into_iter().map(|event| event.payload).collect();
    let pick = |p: &Value| {
        ["ref", "before", "after", "created", "deleted", "forced", "base_ref"].map(|k| p[k].clone())
    };
    let zeros = json!("0".repeat(40));
    let main = json!("refs/heads/main");
    let feature = json!("refs/heads/feature/x");
    let (yes, no) = (json!(true), json!(false));
    let [first, second, third] = [json!(first), json!(second), json!(third)];
    assert_eq!(
        pick(&told[1]),
        [&main, &first, &second, &no, &no, &no, &Value::Null].map(Clone::clone)
    );
    assert_eq!(told[1]["commits"][0]["modified"], json!(["a"]));
    assert_eq!(told[1]["commits"][0]["added"], json!(["b/c"]));
    assert_eq!(
        pick(&told[2]),
        [&main, &second, &third, &no, &no, &yes, &Value::Null].map(Clone::clone)
    );
    assert_eq!(pick(&told[3]), [&feature, &zeros, &third, &yes, &no, &no, &main].map(Clone::clone));
    assert_eq!(told[3]["commits"], json!([]));
    assert_eq!(
        pick(&told[4]),
        [&feature, &third, &zeros, &no, &yes, &no, &Value::Null].map(Clone::clone)
    );
    assert_eq!(told[4]["head_commit"], Value::Null);
}

#[tokio::test]
async fn a_private_clone_needs_a_token_of_its_installation() {
    let (github, _receiver) = world().await;
    let shop = github.repository("acme/shop").await.unwrap();
    let page = "x".repeat(3 << 20);
    shop.commit(&[("page", &page)], "A large file").await.unwrap();
    shop.push().await.unwrap();
    let other = github.repository("other/shop").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let to = |name: &str| directory.path().join(name);

    let ours = token(&github, shop.installation, json!({"repositories": ["shop"]})).await;
    let theirs = token(&github, other.installation, Value::Null).await;
    clone(&shop.clone_url, Some(&ours), &to("ours")).await.unwrap();
    assert_eq!(std::fs::read_to_string(to("ours/page")).unwrap(), page);
    clone(&shop.clone_url, None, &to("anonymous")).await.unwrap_err();
    clone(&shop.clone_url, Some("ghs_wrong"), &to("wrong")).await.unwrap_err();
    clone(&shop.clone_url, Some(&theirs), &to("theirs")).await.unwrap_err();
    // A token that reads may not push.
    let pushed = git::run(&to("ours"), &["push", "origin", "HEAD:refs/heads/mine"]).await;
    pushed.unwrap_err();

    github.revoke_tokens();
    clone(&shop.clone_url, Some(&ours), &to("revoked")).await.unwrap_err();
    let open = github.public_repository("acme/open").await.unwrap();
    open.commit(&[("a", "1")], "One").await.unwrap();
    open.push().await.unwrap();
    clone(&open.clone_url, None, &to("open")).await.unwrap();
}

#[tokio::test]
async fn a_large_push_arrives_chunked() {
    let (github, _receiver) = world().await;
    let shop = github.repository("acme/shop").await.unwrap();
    // More than git's http.postBuffer of 1 MiB, and hard to compress.
    let noise: String = (0..128).map(|_| random::hex::<{ 8 << 10 }>().unwrap()).collect();
    let sha = shop.commit(&[("noise", &noise)], "Noise").await.unwrap();
    shop.push().await.unwrap();
    let told = github.wait_for_deliveries(1).await.unwrap();
    assert_eq!(told[0].event.payload["after"], json!(sha));
}

#[tokio::test]
async fn held_lost_repeated_and_redelivered_events_keep_their_guid() {
    let (github, receiver) = world().await;
    let shop = github.repository("acme/shop").await.unwrap();
    github.hold_deliveries();
    for n in ["1", "2", "3"] {
        shop.commit(&[("n", n)], n).await.unwrap();
        shop.push().await.unwrap();
    }
    let held = github.held_deliveries();
    assert_eq!((held.len(), receiver.seen().len()), (3, 0));
    github.deliver(&held[2]).await.unwrap();
    github.deliver(&held[2]).await.unwrap();
    *receiver.answer.lock().unwrap() = 500;
    assert_eq!(github.release_deliveries().await.len(), 3);

    let jwt = jwt(&github);
    let (status, list) =
        ask(&github, ("GET", "/app/hook/deliveries?status=failure"), &jwt, Value::Null).await;
    assert_eq!((status.as_u16(), list.as_array().unwrap().len()), (200, 3));
    let path = format!("/app/hook/deliveries/{}/attempts", list[0]["id"]);
    let (status, _) = ask(&github, ("POST", &path), &jwt, Value::Null).await;
    assert_eq!(status, 202);
    let last = github.wait_for_deliveries(6).await.unwrap().pop().unwrap();
    assert!(last.redelivery);
    assert_eq!(json!(last.event.guid), list[0]["guid"]);
    let guids: HashMap<_, usize> =
        receiver.seen().iter().fold(HashMap::new(), |mut map, (h, _)| {
            *map.entry(h["x-github-delivery"].clone()).or_default() += 1;
            map
        });
    assert_eq!(guids.values().sum::<usize>(), 6);
    assert_eq!(guids.len(), 3);
}

#[tokio::test]
async fn calls_without_what_github_demands_are_refused() {
    let (github, _receiver) = world().await;
    let shop = github.repository("acme/shop").await.unwrap();
    let sha = shop.commit(&[("a", "1")], "One").await.unwrap();
    shop.push().await.unwrap();
    let get = ("GET", "/api/v3/app");
    let (status, _, _) = call(&github, get, &[], Value::Null).await;
    assert_eq!(status, 403, "no user agent");
    let (status, body, _) = call(&github, get, &[("User-Agent", "t")], Value::Null).await;
    assert_eq!(status, 401);
    assert_eq!(body["message"], "A JSON web token could not be decoded");
    let html = [("User-Agent", "t"), ("Accept", "text/html")];
    assert_eq!(call(&github, get, &html, Value::Null).await.0, 415);
    let (status, body) = ask(&github, ("GET", "/api/v3/unknown"), "x", Value::Null).await;
    assert_eq!((status.as_u16(), &body["message"]), (404, &json!("Not Found")));
    assert!(body["documentation_url"].is_string());

    let ours = token(&github, shop.installation, Value::Null).await;
    for prefix in ["", "/api/v3"] {
        let table = [
            (format!("{prefix}/repos/acme/shop"), 200),
            (format!("{prefix}/repos/acme/shop/branches/main"), 200),
            (format!("{prefix}/repos/acme/shop/branches/none"), 404),
            (format!("{prefix}/repos/acme/shop/commits/{sha}"), 200),
            (format!("{prefix}/repos/acme/shop/commits/main"), 200),
            (format!("{prefix}/repos/acme/shop/commits/--help"), 422),
            (format!("{prefix}/repos/acme/shop/git/ref/heads/main"), 200),
            (format!("{prefix}/repos/acme/none"), 404),
            (format!("{prefix}/installation/repositories"), 200),
            (format!("{prefix}/app"), 401),
        ];
        for (path, expected) in table {
            let (status, body) = ask(&github, ("GET", &path), &ours, Value::Null).await;
            assert_eq!(status, expected, "{path}: {body}");
        }
    }
    let path = "/repos/acme/shop/installation";
    let (status, body) = ask(&github, ("GET", path), &jwt(&github), Value::Null).await;
    assert_eq!((status.as_u16(), &body["id"]), (200, &json!(shop.installation)));
}

#[tokio::test]
async fn statuses_are_checked_and_kept() {
    let (github, _receiver) = world().await;
    let shop = github.repository("acme/shop").await.unwrap();
    let sha = shop.commit(&[("a", "1")], "One").await.unwrap();
    shop.push().await.unwrap();
    let ours = token(&github, shop.installation, Value::Null).await;
    let reader =
        token(&github, shop.installation, json!({"permissions": {"contents": "read"}})).await;
    let path = format!("/api/v3/repos/acme/shop/statuses/{sha}");
    let good = json!({"state": "success", "description": "live", "context": "zeitwork/production"});
    assert_eq!(ask(&github, ("POST", &path), &ours, good.clone()).await.0, 201);
    assert_eq!(ask(&github, ("POST", &path), &reader, good.clone()).await.0, 403);
    let long = json!({"state": "success", "description": "x".repeat(141)});
    assert_eq!(ask(&github, ("POST", &path), &ours, long).await.0, 422);
    assert_eq!(ask(&github, ("POST", &path), &ours, json!({"state": "great"})).await.0, 422);
    let nowhere = format!("/api/v3/repos/acme/shop/statuses/{}", "0".repeat(40));
    assert_eq!(ask(&github, ("POST", &nowhere), &ours, good).await.0, 422);
    let kept = github.statuses();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (kept[0].sha.as_str(), kept[0].context.as_str()),
        (sha.as_str(), "zeitwork/production")
    );
}

#[tokio::test]
async fn faults_and_suspension_are_met_as_ordered() {
    let (github, _receiver) = world().await;
    let shop = github.repository("acme/shop").await.unwrap();
    let ours = token(&github, shop.installation, Value::Null).await;
    github.fail_next([Fault::Status(502), Fault::SecondaryLimit(7), Fault::None]);
    let headers = [("User-Agent", "t"), ("Authorization", &format!("token {ours}"))];
    let get = ("GET", "/repos/acme/shop");
    assert_eq!(call(&github, get, &headers, Value::Null).await.0, 502);
    let (status, _, answer) = call(&github, get, &headers, Value::Null).await;
    assert_eq!((status.as_u16(), &answer["retry-after"]), (403, &7.into()));
    assert_eq!(call(&github, get, &headers, Value::Null).await.0, 200);

    github.suspend_installation("acme", true).unwrap();
    let told = github.wait_for_deliveries(1).await.unwrap();
    assert_eq!(told[0].event.payload["action"], "suspend");
    assert_eq!(call(&github, get, &headers, Value::Null).await.0, 403);
    let path = format!("/app/installations/{}/access_tokens", shop.installation);
    assert_eq!(ask(&github, ("POST", &path), &jwt(&github), Value::Null).await.0, 403);
}

#[tokio::test]
async fn numbers_and_commits_survive_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let start =
        || Github::start(Options { state: Some(state.path().into()), ..Options::default() });
    let first = start().await.unwrap();
    let shop = first.repository("acme/shop").await.unwrap();
    shop.commit(&[("a", "1")], "One").await.unwrap();
    shop.push().await.unwrap();
    let (id, app, secret) = (shop.id, first.app_id(), first.webhook_secret().to_owned());
    drop(first);
    let second = start().await.unwrap();
    let again = second.repository("acme/shop").await.unwrap();
    assert_eq!((again.id, second.app_id()), (id, app));
    assert_ne!(second.webhook_secret(), secret);
    again.copy.git(&["fetch", "--quiet", "origin", "main"]).await.unwrap();
}

#[tokio::test]
async fn one_exact_commit_is_fetched_even_after_it_was_forced_away() {
    let (github, _receiver) = world().await;
    let shop = github.repository("acme/shop").await.unwrap();
    let first = shop.commit(&[("a", "1")], "One").await.unwrap();
    let gone = shop.commit(&[("a", "2")], "Two").await.unwrap();
    shop.push().await.unwrap();
    shop.reset(&first).await.unwrap();
    shop.force_push().await.unwrap();
    let reader = github.public_repository("acme/reader").await.unwrap();
    let fetch = ["fetch", "--quiet", "--depth=1", "--no-tags", &shop.clone_url, &gone];
    reader.copy.git(&fetch).await.unwrap();
    assert_eq!(reader.copy.git(&["rev-parse", "FETCH_HEAD"]).await.unwrap(), gone);
}

#[tokio::test]
async fn a_form_delivery_is_signed_over_its_raw_body() {
    let receiver = Receiver::default();
    let webhook_url = Some(receiver.start().await);
    let content_type = ContentType::Form;
    let options = Options { webhook_url, content_type, ..Options::default() };
    let github = Github::start(options).await.unwrap();
    let payload = json!({"zen": "Keep it logically awesome & simple."});
    github.deliver_new("ping", payload.clone()).await.unwrap().unwrap();
    let (headers, body) = receiver.seen().remove(0);
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
    let form: HashMap<String, String> = serde_urlencoded::from_bytes(&body).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&form["payload"]).unwrap(), payload);
    let event = github.events().remove(0);
    let (signed, same) = github.signed(&event).unwrap();
    assert_eq!(same, body);
    let signature = signed.into_iter().find(|(name, _)| *name == "X-Hub-Signature-256").unwrap();
    assert_eq!(headers["x-hub-signature-256"], signature.1);
}

#[tokio::test]
async fn what_is_not_selected_is_neither_seen_nor_told() {
    let (github, _receiver) = world().await;
    let shop = github.repository("acme/shop").await.unwrap();
    let ours = token(&github, shop.installation, Value::Null).await;
    shop.select(false).unwrap();
    shop.commit(&[("a", "1")], "One").await.unwrap();
    shop.push().await.unwrap();
    assert!(github.events().is_empty());
    assert_eq!(ask(&github, ("GET", "/repos/acme/shop"), &ours, Value::Null).await.0, 404);
    let path = "/repos/acme/shop/installation";
    assert_eq!(ask(&github, ("GET", path), &jwt(&github), Value::Null).await.0, 404);
}

#[tokio::test]
async fn the_same_things_are_found_by_number_and_by_account() {
    let (github, _receiver) = world().await;
    let shop = github.repository("acme/shop").await.unwrap();
    let ours = token(&github, shop.installation, Value::Null).await;
    let path = format!("/api/v3/repositories/{}", shop.id);
    let (status, body) = ask(&github, ("GET", &path), &ours, Value::Null).await;
    assert_eq!((status.as_u16(), &body["full_name"]), (200, &json!("acme/shop")));
    let path = "/api/v3/orgs/acme/installation";
    let (status, body) = ask(&github, ("GET", path), &jwt(&github), Value::Null).await;
    assert_eq!((status.as_u16(), &body["id"]), (200, &json!(shop.installation)));
    let revoke = ("DELETE", "/api/v3/installation/token");
    assert_eq!(ask(&github, revoke, &ours, Value::Null).await.0, 204);
    assert_eq!(ask(&github, revoke, &ours, Value::Null).await.0, 401);
}

#[tokio::test]
async fn failed_deliveries_are_logged_as_github_does_and_never_leave_this_host() {
    let (github, receiver) = world().await;
    let ping = json!({"zen": "Speak like a human."});
    *receiver.answer.lock().unwrap() = 401;
    let refused = github.deliver_new("ping", ping.clone()).await.unwrap().unwrap();
    assert_eq!((refused.status_code, refused.status.as_str()), (401, "Unauthorized"));
    // A port that was just free, and an address of documentation (RFC 5737).
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for url in [format!("http://{free}/"), "http://192.0.2.1/".into(), "https://localhost/".into()]
    {
        github.set_webhook_url(&url);
        let failed = github.deliver_new("ping", ping.clone()).await.unwrap().unwrap();
        let told = (failed.status_code, failed.status.as_str());
        assert_eq!(told, (502, "failed to connect to host"), "{url}");
    }
}
