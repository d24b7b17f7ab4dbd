use axum::body::Body;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::CheckOutcome;

async fn get_from(peer: &str, path: &str, header: Option<&str>, ready: bool) -> (u16, String) {
    let health = Health::new();
    health.require("database", move || async move {
        if ready { CheckOutcome::ok("answers") } else { CheckOutcome::failed("refused") }
    });
    let mut request = Request::get(path).extension(PeerAddress(peer.parse().unwrap()));
    if let Some(name) = header {
        request = request.header(name, "203.0.113.9");
    }
    let request = request.body(Body::empty()).unwrap();
    let router = system_routes(health, Metrics::new());
    let response = router.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn readiness_is_told_to_all_and_its_details_to_this_host() {
    let (status, text) = get_from("127.0.0.1:9", "/readyz", None, true).await;
    assert!(status == 200 && text.contains("\"database\""), "{text}");
    let (status, text) = get_from("[::ffff:127.0.0.1]:9", "/readyz", None, false).await;
    assert!(status == 503 && text.contains("/checks/database"), "{text}");
    let (status, text) = get_from("203.0.113.9:9", "/readyz", None, false).await;
    assert!(status == 503 && !text.contains("database"), "{text}");
}

#[tokio::test]
async fn metrics_are_for_this_host_and_not_through_its_proxy() {
    assert_eq!(get_from("[::1]:9", "/metrics", None, true).await.0, 200);
    assert_eq!(get_from("203.0.113.9:9", "/metrics", None, true).await.0, 404);
    assert_eq!(get_from("127.0.0.1:9", "/metrics", Some("x-forwarded-for"), true).await.0, 404);
}
