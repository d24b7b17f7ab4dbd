//! A push goes live.

use hyper::{Method, StatusCode};
use serde_json::json;
use zeitwork_tests::Cluster;
use zeitwork_tests::user::LIVE_LIMIT;

use super::{app, live_project};

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_built_and_served_and_the_next_one_replaces_it() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, first) = live_project(&cluster, "acme/shop").await;
    let page = cluster.page_with(&project.host, &format!("commit={first}"), LIVE_LIMIT).await;
    assert!(page.text().contains("version=1"), "{}", page.text());

    let second = repository.commit(&[("version", "2\n")], "Sell").await.unwrap();
    cluster.push(&repository).await;
    let page = cluster.page_with(&project.host, &format!("commit={second}"), LIVE_LIMIT).await;
    assert!(page.text().contains("version=2"), "{}", page.text());
    owner.live(&project, &second).await;
    assert_eq!(owner.settled(&project, &first).await["status"], "retired");
    cluster.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_to_another_branch_changes_nothing_but_its_own_environment() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, first) = live_project(&cluster, "acme/branches").await;
    let staging = json!({"name": "staging", "branch": "release/*"});
    let path = format!("/projects/{}/environments", project.id);
    let staging = owner.send(Method::POST, &path, &staging).await;
    let host = staging["address"].as_str().unwrap().trim_start_matches("http://");
    let host = host.split(':').next().unwrap();

    repository.switch("release/1").await.unwrap();
    let second = repository.commit(&[("version", "2\n")], "Release").await.unwrap();
    cluster.push(&repository).await;
    cluster.page_with(host, &format!("commit={second}"), LIVE_LIMIT).await;
    let page = cluster.visit(&project.host, "/").await.unwrap();
    assert!(page.text().contains(&format!("commit={first}")), "{}", page.text());
    cluster.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_any_git_server_is_deployed_by_hand() {
    let cluster = Cluster::start().await;
    let repository = cluster.github.public_repository("acme/plain").await.unwrap();
    let commit = repository.commit_directory(&app("web"), "Open").await.unwrap();
    cluster.push(&repository).await;
    let url = format!("{}/acme/plain.git", cluster.github.url());
    let owner = cluster.owner();
    let body = json!({"name": "Plain", "source": {"kind": "git", "url": url}});
    let project = owner.send(Method::POST, "/projects", &body).await;
    let host = project["environments"][0]["address"].as_str().unwrap();
    let host = host.trim_start_matches("http://").split(':').next().unwrap();
    let path = format!("/projects/{}/deployments", project["id"].as_str().unwrap());
    let wish = json!({"environment": "production", "commit": commit});
    let answer = owner.call(Method::POST, &path, Some(&wish)).await.unwrap();
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    cluster.page_with(host, &format!("commit={commit}"), LIVE_LIMIT).await;
    cluster.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_is_answered_by_the_edge_and_by_no_tenant() {
    let cluster = Cluster::start().await;
    let (_, _, _, _) = live_project(&cluster, "acme/only").await;
    let answer = cluster.visit("nobody.localhost", "/").await.unwrap();
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.headers["zeitwork-answer"], "no_route");
}
