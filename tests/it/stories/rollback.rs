//! Back to exactly what was.

use hyper::Method;
use serde_json::json;
use zeitwork_tests::load::Load;
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, eventually};

use super::live_project;

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_brings_back_the_old_code_with_its_own_variables() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, first) = live_project(&cluster, "acme/back").await;
    let replaced = owner.healthy(&project).await;
    let variable = format!("/projects/{}/variables/GREETING", project.id);
    owner.send(Method::PUT, &variable, &json!({"value": "hello", "secret": false})).await;

    let second = repository.commit(&[("version", "2\n")], "Greet").await.unwrap();
    cluster.push(&repository).await;
    let page = cluster.page_with(&project.host, &format!("commit={second}"), LIVE_LIMIT).await;
    assert!(page.text().contains("greeting=hello"), "{}", page.text());
    owner.live(&project, &second).await;
    let replacing = owner.healthy(&project).await;

    let load = Load::start(&[cluster.edge], &project.host, 4);
    let rollback = format!("/projects/{}/environments/production/rollback", project.id);
    owner.send(Method::POST, &rollback, &json!({})).await;
    let page = cluster.page_with(&project.host, &format!("commit={first}"), LIVE_LIMIT).await;
    assert!(page.text().contains("greeting=\n"), "{}", page.text());
    owner.live(&project, &first).await;
    // Nothing is started again: what was kept paused goes on, and the other one leaves.
    eventually("what was replaced is all that serves", LIVE_LIMIT, || async {
        let now = owner.healthy(&project).await;
        assert!(now.is_subset(&(&replaced | &replacing)), "{now:?}, {replaced:?}, {replacing:?}");
        if now == replaced { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    assert_eq!(owner.settled(&project, &second).await["status"], "retired");
    let seen = load.finish().await;
    assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    cluster.assert_consistent().await;
}
