//! A database that neither answers nor refuses.

use hyper::{Method, StatusCode};
use serde_json::json;
use zeitwork_tests::process::Frozen;
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_hangs_the_api_says_within_five_seconds_when_to_come_back() {
    let cluster = Cluster::start().await;
    let owner = cluster.owner();
    owner.get("/projects").await;
    let frozen = Frozen::server(cluster.postgres().unwrap());
    let body = json!({"name": "Shop", "source": {"kind": "git", "url": "https://x.example/a"}});
    // Each call fails the test where it takes longer.
    let (read, written, seen) = tokio::join!(
        owner.call(Method::GET, "/projects", None),
        owner.call(Method::POST, "/projects", Some(&body)),
        owner.call(Method::GET, "/system/version", None),
    );
    for answer in [read, written, seen] {
        let answer = answer.unwrap();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
        assert_eq!(answer.json()["code"], "database_unavailable");
        assert!(answer.headers.contains_key("retry-after"), "{}", answer.text());
    }
    drop(frozen);
    eventually("the api answers again", LIVE_LIMIT, || async {
        let answer = owner.call(Method::GET, "/projects", None).await?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    cluster.assert_consistent().await;
}
