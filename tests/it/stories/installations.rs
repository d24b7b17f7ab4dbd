//! An installation of the GitHub App comes to the organisation that it is for.

use hyper::Method;
use serde_json::json;
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, eventually};

use super::app;
use super::cli::Terminal;

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_before_its_installation_was_given_goes_live_once_it_is() {
    let cluster = Cluster::start().await;
    let (owner, terminal) = (cluster.owner(), Terminal { cluster: &cluster });
    owner.send(Method::POST, "/organisations", &json!({"name": "Acme", "slug": "acme"})).await;
    let key = json!({"name": "all", "scope": "admin"});
    let key = owner.send(Method::POST, "/organisations/acme/api-keys", &key).await;
    let acme = cluster.user(key["key"].as_str().unwrap());
    let repository = cluster.github.repository("acme/shop").await.unwrap();
    let project = acme.create_project("shop", "acme/shop").await;
    let commit = repository.commit_directory(&app("web"), "Open").await.unwrap();
    cluster.push(&repository).await;
    eventually("the push waits for somebody to give the installation", LIVE_LIMIT, || async {
        let deliveries = owner.get("/system/webhook-deliveries").await;
        let reason = &deliveries["items"][0]["reason"]["code"];
        if reason == "installation_not_claimed" { Ok(()) } else { Err(deliveries.to_string()) }
    })
    .await;
    let number = repository.installation.to_string();
    let listed = terminal.json(&["installations", "list"]).await;
    assert_eq!(listed["items"][0]["organisation_id"], serde_json::Value::Null, "{listed}");
    let given = ["installations", "assign", &number, "--organisation", "acme"];
    terminal.done(&given).await;
    acme.live(&project, &commit).await;

    terminal.done(&["installations", "release", &number]).await;
    let shown = terminal.done(&["installations"]).await;
    assert!(shown.out.contains(&number) && !shown.out.contains("acme  acme"), "{shown:?}");
    let after = repository.commit(&[("version", "2\n")], "Too late").await.unwrap();
    cluster.push(&repository).await;
    eventually("the project says why it gets no commits", LIVE_LIMIT, || async {
        let shown = acme.get(&format!("/projects/{}", project.id)).await;
        let reason = &shown["source"]["reason"]["code"];
        if reason == "installation_not_claimed" { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
    cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
    let deployments = acme.get(&format!("/projects/{}/deployments", project.id)).await;
    assert!(!deployments.to_string().contains(&after), "{deployments}");
}
