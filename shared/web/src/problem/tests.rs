use std::collections::BTreeSet;

use http_body_util::BodyExt as _;

use super::*;

async fn body_of(response: Response) -> serde_json::Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn a_problem_has_exactly_the_fields_of_the_contract() {
    let problem = Problem::invalid("/source/url", "not_https", "must begin with https://");
    let response = problem.answer("req_1");
    assert_eq!(response.status(), 422);
    assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
    let wanted = serde_json::json!({
        "type": "urn:zeitwork:problem:validation_failed",
        "title": "Validation failed",
        "status": 422,
        "code": "validation_failed",
        "detail": "Correct what `errors` names.",
        "request_id": "req_1",
        "errors": [{
            "pointer": "/source/url",
            "code": "not_https",
            "detail": "must begin with https://",
        }],
    });
    assert_eq!(body_of(response).await, wanted);
}

#[tokio::test]
async fn an_internal_error_leaks_nothing() {
    let cause = std::io::Error::other("password=hunter2 at 10.0.0.5");
    let text = body_of(Problem::internal(&cause).into_response()).await.to_string();
    assert!(!text.contains("hunter2") && !text.contains("10.0.0.5"), "{text}");
    assert!(text.contains("\"request_id\":\"req_"), "{text}");
}

#[test]
fn an_absent_database_says_when_to_come_back() {
    let response = Problem::new(Code::DatabaseUnavailable).into_response();
    assert_eq!(
        (response.status().as_u16(), &response.headers()[RETRY_AFTER]),
        (503, &"1".parse().unwrap())
    );
}

#[test]
fn codes_are_unique_words_and_errors() {
    let words: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(words.len(), Code::ALL.len());
    for code in Code::ALL {
        assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        assert!(code.status().is_client_error() || code.status().is_server_error());
        assert_eq!(Code::of_status(code.status()).status(), code.status(), "{code:?}");
    }
}

#[test]
fn a_used_up_quota_says_what_it_is_and_when_it_begins_anew() {
    let quota = Quota { name: "wrong-keys", count: 20, window: Duration::from_mins(1) };
    let problem = Problem::new(Code::RateLimited).used_up(quota, Duration::from_millis(41_300));
    let response = problem.answer("req_1");
    assert_eq!(response.status(), 429);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("ratelimit-policy"), "\"wrong-keys\";q=20;w=60");
    assert_eq!(header("ratelimit"), "\"wrong-keys\";r=0;t=41");
    assert_eq!(header("retry-after"), "41");
}
