//! Nobody sees or reaches what is another's, and no secret leaves its place.

use std::path::Path;

use hyper::{Method, StatusCode};
use serde_json::json;
use zeitwork_tests::Cluster;
use zeitwork_tests::user::LIVE_LIMIT;

use super::live_project;

const CANARY: &str = "canary-7f3a9c51d2e84b60";

#[tokio::test(flavor = "multi_thread")]
async fn another_organisation_finds_nothing_of_a_project() {
    let cluster = Cluster::start().await;
    let (owner, project, _, commit) = live_project(&cluster, "acme/mine").await;
    let body = json!({"name": "Rival", "slug": "rival"});
    let rival = owner.send(Method::POST, "/organisations", &body).await;
    let path = format!("/organisations/{}/api-keys", rival["id"].as_str().unwrap());
    let key = owner.send(Method::POST, &path, &json!({"name": "all", "scope": "admin"})).await;
    let rival = cluster.user(key["key"].as_str().unwrap());
    let deployment = owner.live(&project, &commit).await["id"].as_str().unwrap().to_owned();
    for path in [
        format!("/projects/{}", project.id),
        format!("/projects/{}/variables", project.id),
        format!("/projects/{}/deployments", project.id),
        format!("/projects/{}/environments/production/logs", project.id),
        format!("/deployments/{deployment}"),
        format!("/deployments/{deployment}/logs"),
        "/nodes".to_owned(),
    ] {
        let answer = rival.call(Method::GET, &path, None).await.unwrap();
        let refused = [StatusCode::NOT_FOUND, StatusCode::FORBIDDEN].contains(&answer.status);
        assert!(refused, "{path}: {} {}", answer.status, answer.text());
    }
    assert_eq!(rival.get("/projects").await["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_variable_reaches_its_instance_and_nothing_else() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, _) = live_project(&cluster, "acme/canary").await;
    let variable = format!("/projects/{}/variables/GREETING", project.id);
    owner.send(Method::PUT, &variable, &json!({"value": CANARY, "secret": true})).await;
    // Says its secret at start, on both streams, whole and in two writes.
    let start = std::fs::read_to_string(super::app("web").join("start")).unwrap();
    let start = format!(
        "echo \"loud $GREETING\"; printf 'half %.10s' \"$GREETING\"; printf '%s\\n' \"${{GREETING#??????????}}\" \n{start}"
    );
    let commit = repository.commit(&[("start", &start)], "Be loud").await.unwrap();
    cluster.push(&repository).await;
    cluster.page_with(&project.host, &format!("greeting={CANARY}"), LIVE_LIMIT).await;
    let deployment = owner.live(&project, &commit).await;

    let logs = format!("/projects/{}/environments/production/logs", project.id);
    let text = zeitwork_tests::eventually("the loud line", LIVE_LIMIT, || async {
        let text = owner.get(&logs).await.to_string();
        if text.contains("half ") { Ok(text) } else { Err(text) }
    })
    .await;
    let shown = owner.get(&format!("/projects/{}/variables", project.id)).await.to_string();
    let events =
        owner.get(&format!("/projects/{}/environments/production/events", project.id)).await;
    for (place, text) in [
        ("instance logs", text),
        ("variables", shown),
        ("deployment", deployment.to_string()),
        ("events", events.to_string()),
        ("daemon logs", every_file(&cluster.state.join("log"))),
        ("disk of the agent", every_file(&cluster.state.join("node"))),
        ("disk of the edge", every_file(&cluster.state.join("edge"))),
        ("database", every_file(&cluster.state.join("postgres/data"))),
    ] {
        assert!(!text.contains(CANARY), "the secret stands in: {place}");
    }
}

/// The content of every file below a directory.
fn every_file(directory: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => text.push_str(&every_file(&path)),
            Ok(kind) if kind.is_file() => {
                text.push_str(&String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()));
            }
            _ => {}
        }
    }
    text
}
