use axum::Json;
use axum::body::Body;
use axum::routing::{get, post};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;

fn router() -> Router {
    let router = Router::new()
        .route("/ok", get(|| async { "fine" }))
        .route("/panic", get(|| async { boom() }))
        .route("/gone", get(|| async { Problem::not_found() }))
        .route("/slow", get(std::future::pending::<()>))
        .route("/json", post(|Json(_): Json<Vec<u8>>| async {}));
    standard(router, Limits { body: 100, answer: Duration::from_millis(50) })
}

fn boom() {
    panic!("secret detail")
}

async fn send(request: http::request::Builder, body: &str) -> (http::response::Parts, String) {
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let (parts, body) = router().oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn every_answer_carries_a_request_id() {
    let (parts, _) = send(Request::get("/ok"), "").await;
    let made: RequestId = parts.headers[X_REQUEST_ID].to_str().unwrap().parse().unwrap();
    assert_ne!(made.to_string(), "");
    let (parts, _) = send(Request::get("/ok").header(X_REQUEST_ID, "abc-1"), "").await;
    assert_eq!(parts.headers[X_REQUEST_ID], "abc-1");
}

#[tokio::test]
async fn a_hostile_request_id_is_replaced() {
    for bad in ["a b", "\"x\"", &"a".repeat(129), "a;b"] {
        let (parts, _) = send(Request::get("/ok").header(X_REQUEST_ID, bad), "").await;
        assert!(parts.headers[X_REQUEST_ID].to_str().unwrap().starts_with("req_"), "{bad}");
    }
}

#[tokio::test]
async fn every_error_is_a_problem_with_the_id_of_the_request() {
    let json = || Request::post("/json").header("content-type", "application/json");
    let cases = [
        (Request::get("/gone"), String::new(), 404, "not_found"),
        (Request::get("/nowhere"), String::new(), 404, "not_found"),
        (Request::delete("/ok"), String::new(), 405, "method_not_allowed"),
        (Request::get("/panic"), String::new(), 500, "internal"),
        (Request::get("/slow"), String::new(), 504, "timeout"),
        (json(), "[".to_owned(), 400, "bad_request"),
        (json(), "{}".to_owned(), 422, "validation_failed"),
        (json(), " ".repeat(101), 413, "payload_too_large"),
        (Request::post("/json"), "[]".to_owned(), 415, "unsupported_media_type"),
    ];
    for (request, body, status, code) in cases {
        let (parts, text) = send(request.header(X_REQUEST_ID, "mine"), &body).await;
        let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parts.status.as_u16(), status, "{text}");
        assert_eq!(problem["code"], code, "{text}");
        assert_eq!(problem["request_id"], "mine", "{text}");
        assert_eq!(problem["status"], status, "{text}");
        assert_eq!(parts.headers[CONTENT_TYPE], PROBLEM_JSON);
        assert!(!text.contains("secret detail"));
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let (parts, _) = send(Request::delete("/ok"), "").await;
    assert_eq!(parts.headers["allow"], "GET,HEAD");
}
