//! Somebody removes the images from the engine.

use std::time::Duration;

use hyper::Method;
use serde_json::json;
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, engine};

use crate::stories::live_project;

/// The agent lists images every ten seconds; then there is a build.
const HEALED_LIMIT: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread")]
async fn apps_whose_images_were_removed_are_built_again() {
    let mut cluster = Cluster::start().await;
    let (_, project, repository, first) = live_project(&cluster, "acme/pruned").await;
    let second = repository.commit(&[("version", "2\n")], "Second").await.unwrap();
    repository.push().await.unwrap();
    cluster.owner().live(&project, &second).await;

    cluster.stop();
    engine::remove_images(&cluster.installation()).await;
    cluster.restart().await;
    cluster.page_with(&project.host, &format!("commit={second}"), HEALED_LIMIT).await;
    let owner = cluster.owner();
    let healed = owner.live(&project, &second).await;
    assert_eq!(healed["trigger"], "redeploy", "{healed}");
    let path = format!("/projects/{}/environments/production", project.id);

    // What was live before is not what was built again, but what was live before that.
    owner.send(Method::POST, &format!("{path}/rollback"), &json!({})).await;
    cluster.page_with(&project.host, &format!("commit={first}"), HEALED_LIMIT).await;
    owner.live(&project, &first).await;
    let wish = json!({"environment": "production", "commit": second});
    owner.send(Method::POST, &format!("/projects/{}/deployments", project.id), &wish).await;
    cluster.page_with(&project.host, &format!("commit={second}"), LIVE_LIMIT).await;
    owner.live(&project, &second).await;
    cluster.assert_consistent().await;
}
