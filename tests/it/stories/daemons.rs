//! What every daemon says of itself, in the same form.

use hyper::{Method, StatusCode};
use zeitwork_tests::Cluster;
use zeitwork_tests::http::{Answer, Ask};

/// The answer is an error of the one format.
fn assert_problem(daemon: &str, answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!(answer.status, status, "{daemon}: {}", answer.text());
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{daemon}");
    let body = answer.json();
    assert_eq!(body["code"], code, "{daemon}: {body}");
    assert_eq!(body["request_id"], answer.headers["x-request-id"].to_str().unwrap(), "{daemon}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_daemon_errs_and_reports_in_the_one_form() {
    let cluster = Cluster::start().await;
    let daemons = ["api", "operator", "node-agent", "edge-proxy"];
    for (daemon, address) in daemons.into_iter().zip(cluster.addresses) {
        let nowhere = Ask::get(daemon, "/nowhere").send(address).await.unwrap();
        assert_problem(daemon, &nowhere, StatusCode::NOT_FOUND, "not_found");
        let post = Ask { method: Method::POST, ..Ask::get(daemon, "/healthz") };
        let post = post.send(address).await.unwrap();
        assert_problem(daemon, &post, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
        assert_eq!(post.headers["allow"], "GET,HEAD", "{daemon}");
        let alive = Ask::get(daemon, "/healthz").send(address).await.unwrap();
        assert!(alive.status.is_success() && alive.headers.contains_key("x-request-id"));

        let metrics = Ask::get(daemon, "/metrics").send(address).await.unwrap().text();
        for figure in ["", "_idle", "_in_use", "_waiting"] {
            let name = format!("\nzeitwork_database_connections{figure} ");
            assert!(metrics.contains(&name), "{daemon}: {name} is not in {metrics}");
        }
    }
}
