//! A host that is called otherwise than before.

use zeitwork_tests::up::program;
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, eventually};

use crate::stories::live_project;

#[tokio::test(flavor = "multi_thread")]
async fn apps_serve_after_their_host_was_renamed() {
    let mut cluster = Cluster::start().await;
    let (_, project, _, commit) = live_project(&cluster, "acme/renamed").await;
    let name = nodes(&cluster).await;
    cluster.stop();
    start_as(&mut cluster, "another").await;
    cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
    assert_eq!(nodes(&cluster).await, name);

    // An earlier release has kept no name: the node is known by its key.
    cluster.stop();
    std::fs::remove_file(cluster.state.join("node/node.name")).unwrap();
    start_as(&mut cluster, "a-third").await;
    cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
    assert_eq!(nodes(&cluster).await, name);
    cluster.assert_consistent().await;

    cluster.stop();
    let refused = tokio::process::Command::new(program("zeitwork"))
        .arg("up")
        .envs(cluster.settings())
        .env("ZEITWORK_NODE_NAME", "a-fourth")
        .output()
        .await
        .unwrap();
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success(), "{words}");
    assert!(words.contains("a-fourth") && words.contains("leave the setting out"), "{words}");
}

/// Starts the platform on a host of this name.
async fn start_as(cluster: &mut Cluster, name: &str) {
    let rename = format!("hostname {name} && exec \"$0\" \"$@\"");
    cluster.start_under(&["unshare", "--uts", "sh", "-c", &rename], &[]).await;
}

/// The names of all nodes, once one is ready.
async fn nodes(cluster: &Cluster) -> Vec<String> {
    eventually("a node is ready", LIVE_LIMIT, || async {
        let page = cluster.owner().get("/nodes").await;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        if !items.iter().any(|node| node["status"] == "ready") {
            return Err(page.to_string());
        }
        Ok(items.iter().map(|node| node["name"].as_str().unwrap().to_owned()).collect())
    })
    .await
}
