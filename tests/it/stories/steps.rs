//! Who waits for a build sees what it is at.

use std::net::TcpListener;

use hyper::Method;
use serde_json::json;
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_build_says_what_it_is_at() {
    // A git server that takes connections and never answers.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = server.local_addr().unwrap().to_string();
    let cluster = Cluster::start_with(&[("ZEITWORK_GIT_INSECURE_HOSTS", &silent)]).await;
    let owner = cluster.owner();
    let source = json!({"kind": "git", "url": format!("http://{silent}/acme/silent.git")});
    let body = json!({"name": "Silent", "source": source});
    let project = owner.send(Method::POST, "/projects", &body).await;
    let path = format!("/projects/{}", project["id"].as_str().unwrap());
    let wish = json!({"environment": "production", "commit": "a".repeat(40)});
    owner.send(Method::POST, &format!("{path}/deployments"), &wish).await;

    let build = eventually("a build that checks out", LIVE_LIMIT, || async {
        let builds = owner.get(&format!("{path}/builds")).await;
        let id = builds["items"][0]["id"].as_str().ok_or_else(|| "no build".to_owned())?;
        let build = owner.get(&format!("/builds/{id}")).await;
        if build["step"] == "checkout" { Ok(id.to_owned()) } else { Err(build.to_string()) }
    })
    .await;
    owner.send(Method::POST, &format!("/builds/{build}/cancel"), &json!({})).await;
}
