//! What a person does without a platform: build a commit, run it, ask it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::task::JoinSet;
use zeitwork_stand_ins::engine::SOCKET;
use zeitwork_stand_ins::github::Repository;
use zeitwork_tests::user::LIVE_LIMIT;

use crate::line::Line;

/// Where the application listens.
const PORT: u16 = 8080;

/// Builds the commit with BuildKit, creates and starts a container of it, and waits for its
/// first page; returns how long all that took. Container and image are removed.
pub async fn build_and_run(repository: &Repository, commit: &str) -> Duration {
    let name = format!("zw-bench-{}-{}", std::process::id(), &commit[..12]);
    let began = Instant::now();
    let archive = archive(repository, commit).await;
    let build = format!("/build?version=2&t={name}&buildid={name}");
    let built = call(Method::POST, &build, "application/x-tar", archive).await;
    let built = String::from_utf8_lossy(&built).into_owned();
    assert!(!built.contains("\"errorDetail\""), "{built}");
    let create = json!({"Image": name}).to_string().into();
    call(Method::POST, &format!("/containers/create?name={name}"), JSON, create).await;
    call(Method::POST, &format!("/containers/{name}/start"), JSON, Bytes::new()).await;
    let shown = call(Method::GET, &format!("/containers/{name}/json"), JSON, Bytes::new()).await;
    let shown: Value = serde_json::from_slice(&shown).unwrap();
    let networks = shown["NetworkSettings"]["Networks"].as_object().unwrap();
    let address = networks.values().find_map(|network| network["IPAddress"].as_str()).unwrap();
    let address = SocketAddr::new(address.parse().unwrap(), PORT);
    let is_page = |status: StatusCode, _: &[u8]| status.is_success();
    let pause = Duration::from_millis(2);
    let answered = Line::to(address).until("bare", LIVE_LIMIT, pause, is_page).await;
    call(Method::DELETE, &format!("/containers/{name}?force=1"), JSON, Bytes::new()).await;
    call(Method::DELETE, &format!("/images/{name}?force=1"), JSON, Bytes::new()).await;
    answered - began
}

const JSON: &str = "application/json";

/// The commit's files.
async fn archive(repository: &Repository, commit: &str) -> Bytes {
    let mut command = Command::new("git");
    command.arg("-C").arg(&repository.copy.path).args(["archive", "--format=tar", commit]);
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout.into()
}

/// One call of the engine; anything but success ends the run.
async fn call(method: Method, path: &str, kind: &str, body: Bytes) -> Bytes {
    let stream = UnixStream::connect(SOCKET).await.unwrap();
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    let driver = JoinSet::from_iter([async { connection.await.is_ok() }]);
    let request = Request::builder().method(method).uri(path).header("host", "docker");
    let request = request.header("content-type", kind).body(Full::new(body)).unwrap();
    let answer = tokio::time::timeout(LIVE_LIMIT, sender.send_request(request)).await;
    let (head, body) = answer.expect("the engine answers in time").unwrap().into_parts();
    let body = tokio::time::timeout(LIVE_LIMIT, body.collect()).await;
    let body = body.expect("the engine ends its answer in time").unwrap().to_bytes();
    drop(driver);
    assert!(head.status.is_success(), "{path}: {} {}", head.status, String::from_utf8_lossy(&body));
    body
}
