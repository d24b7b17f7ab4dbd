//! A secret is for what runs: it never enters an image, and stands in nothing that is said.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use zeitwork_postgres::{Binaries, Server};
use zeitwork_stand_ins::engine;
use zeitwork_tests::Cluster;
use zeitwork_tests::user::{LIVE_LIMIT, Project, User};

use super::app;

/// Secrets: one of which nothing more is said, one that is wished for in builds, too.
const CANARIES: [(&str, &str); 2] =
    [("TOKEN", "canary-1f60b3c2a94e77d0"), ("OLD_TOKEN", "canary-92c4d8e05ab1360f")];

const DOCKERFILE: &str = "FROM busybox\nARG TOKEN\nARG OLD_TOKEN\nARG COLOUR\nWORKDIR /app\n\
    RUN echo \"[$TOKEN$OLD_TOKEN] $COLOUR\" > built\nCOPY . .\nEXPOSE 8080\n\
    CMD [\"sh\", \"/app/start\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_in_no_image_and_in_nothing_that_is_said() {
    let cluster = Cluster::start().await;
    let repository = cluster.github.repository("acme/sealed").await.unwrap();
    let owner = cluster.owner();
    let project = owner.create_project("sealed", "acme/sealed").await;
    let variable = |name: &str| format!("/projects/{}/variables/{name}", project.id);
    for ((name, value), at) in CANARIES.into_iter().zip([json!(null), json!("both")]) {
        let body = json!({"value": value, "secret": true, "at": at});
        owner.send(Method::PUT, &variable(name), &body).await;
    }
    owner.send(Method::PUT, &variable("COLOUR"), &json!({"value": "teal", "secret": false})).await;

    let start = std::fs::read_to_string(app("web").join("start")).unwrap();
    let start = start.replace("greeting=${GREETING:-}", "greeting=$TOKEN $OLD_TOKEN $(cat built)");
    repository.commit_directory(&app("web"), "Open").await.unwrap();
    let files = [("Dockerfile", DOCKERFILE), ("start", &start)];
    let commit = repository.commit(&files, "Take tokens").await.unwrap();
    cluster.push(&repository).await;
    let [token, old] = CANARIES.map(|(_, value)| value);
    let greeting = format!("greeting={token} {old} [] teal");
    cluster.page_with(&project.host, &greeting, LIVE_LIMIT).await;
    let deployment = owner.live(&project, &commit).await;

    let history = history(deployment["build"].as_str().unwrap());
    assert!(history.contains("COLOUR=teal"), "plain variables are build arguments: {history}");
    let mut places = vec![("image".to_owned(), history)];
    places.push(("chunks of logs".to_owned(), chunks(&cluster.state.join("postgres/data"))));
    places.extend(every_answer(&owner, &project, &deployment).await);
    for (place, text) in places {
        for (name, canary) in CANARIES {
            assert!(!text.contains(canary), "{name} stands in: {place}\n{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_for_builds_is_refused_with_the_reason() {
    let cluster = Cluster::start().await;
    cluster.github.repository("acme/refused").await.unwrap();
    let owner = cluster.owner();
    let project = owner.create_project("refused", "acme/refused").await;
    let path = format!("/projects/{}/variables/TOKEN", project.id);
    let body = json!({"value": "x", "secret": true, "at": "build"});
    let answer = owner.call(Method::PUT, &path, Some(&body)).await.unwrap();
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text());
    let error = &answer.json()["errors"][0];
    assert_eq!(error["pointer"], "/at", "{error}");
    let detail = error["detail"].as_str().unwrap();
    assert!(detail.contains("image's history") && detail.contains("at run time"), "{detail}");
}

/// All that the engine tells of the images of a build: what they are, and how they were made.
fn history(build: &str) -> String {
    let filter = format!("%7B%22label%22%3A%5B%22dev.zeitwork.build%3D{build}%22%5D%7D");
    let found: Value =
        serde_json::from_str(&ask(&format!("/images/json?filters={filter}"))).unwrap();
    let images: Vec<&str> =
        found.as_array().unwrap().iter().map(|image| image["Id"].as_str().unwrap()).collect();
    assert!(!images.is_empty(), "no image of {build}");
    let told = |image: &&str| {
        ask(&format!("/images/{image}/history")) + &ask(&format!("/images/{image}/json"))
    };
    images.iter().map(told).collect()
}

fn ask(path: &str) -> String {
    let mut stream = UnixStream::connect(engine::SOCKET).unwrap();
    write!(stream, "GET /v1.41{path} HTTP/1.0\r\nHost: docker\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").expect("an answer").1.to_owned()
}

/// Every line that is stored, unpacked.
fn chunks(data: &Path) -> String {
    let url = Server::running_on(data)
        .expect("the private database runs")
        .url("postgres", "zeitwork", None);
    let mut psql = Binaries::find().unwrap().command("psql", false);
    let query = "select encode(data, 'hex') from log_chunks";
    let said = psql.args(["-X", "-q", "-A", "-t", "-c", query, &url]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let unpacked = |line: &str| {
        let digit = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
        let packed: Vec<u8> = (0..line.len()).step_by(2).map(digit).collect();
        let text = zstd::bulk::decompress(&packed, 16 * 1024 * 1024).unwrap();
        String::from_utf8(text).unwrap()
    };
    let said = String::from_utf8(said.stdout).unwrap();
    let text: String = said.lines().filter(|line| !line.is_empty()).map(unpacked).collect();
    assert!(text.contains("echo"), "the build's log is stored: {text}");
    text
}

/// Whatever the API reads out: each GET of its own description.
async fn every_answer(
    owner: &User<'_>,
    project: &Project,
    deployment: &Value,
) -> Vec<(String, String)> {
    let description: Value =
        serde_json::from_str(include_str!("../../../api/openapi.json")).unwrap();
    let first = |list: Value| list["items"][0]["id"].as_str().unwrap().to_owned();
    let names = [
        ("{project}", project.id.clone()),
        ("{environment}", project.environment.clone()),
        ("{deployment}", deployment["id"].as_str().unwrap().to_owned()),
        ("{build}", deployment["build"].as_str().unwrap().to_owned()),
        ("{name}", "TOKEN".to_owned()),
        ("{instance}", first(owner.get("/instances").await)),
        ("{node}", first(owner.get("/nodes").await)),
        ("{organisation}", first(owner.get("/organisations").await)),
    ];
    let mut answers = Vec::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        let Some(path) = path.strip_prefix("/api/v1") else { continue };
        if operations["get"].is_null() {
            continue;
        }
        let path = names.iter().fold(path.to_owned(), |path, (name, id)| path.replace(name, id));
        assert!(!path.contains('{'), "an unknown name in {path}");
        let answer = owner.call(Method::GET, &path, None).await.unwrap();
        assert!(answer.status.is_success(), "{path}: {}", answer.text());
        answers.push((path, answer.text()));
    }
    assert!(answers.len() > 20, "{}", answers.len());
    answers
}
