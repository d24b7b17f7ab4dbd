//! What passes, what does not, what is added.

use crate::limits::Limits;
use crate::testing::{Edge, HOST, Instance, route};

#[tokio::test]
async fn nobody_claims_in_our_name() {
    let instance = Instance::echo().await;
    let edge = Edge::before(vec![instance.endpoint]);
    let lies = [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X_Forwarded_For",
        "X-Forwarded_Host",
        "Forwarded",
        "X-Real-IP",
        "X_Real_IP",
        "Proxy",
        "Zeitwork-Answer",
        "Content_Length",
        "Transfer_Encoding",
        "True-Client-IP",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authorization",
        "X-Named",
    ];
    let lies: String = lies.iter().map(|name| format!("{name}: evil\r\n")).collect();
    let answer = edge
        .ask(&format!(
            "GET / HTTP/1.1\r\nHost: {HOST}:81\r\n{lies}Authorization: kept\r\nApi_Key: kept\r\n\
             Connection: close, X-Named, X-Forwarded-For, Host, Authorization"
        ))
        .await;
    let seen = answer.text();
    assert!(!seen.contains("evil"), "{seen}");
    let port = edge.address().port();
    for line in [
        format!("host: {HOST}:81"),
        "x-forwarded-for: 127.0.0.1".to_owned(),
        "x-forwarded-proto: http".to_owned(),
        format!("x-forwarded-host: {HOST}:81"),
        format!("x-forwarded-port: {port}"),
        format!("forwarded: for=127.0.0.1;host=\"{HOST}:81\";proto=http"),
        "authorization: kept".to_owned(),
        "api_key: kept".to_owned(),
        "traceparent: 00-".to_owned(),
        "x-request-id: req_".to_owned(),
    ] {
        assert_eq!(seen.matches(&format!("\n{line}")).count(), 1, "{line} in {seen}");
    }
    assert!(!seen.contains("connection:"), "{seen}");
}

#[tokio::test]
async fn ids_and_traces_go_on() {
    let instance = Instance::echo().await;
    let edge = Edge::before(vec![instance.endpoint]);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = edge
        .ask(&format!(
            "GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Request-Id: mine-1\r\ntraceparent: {trace}\r\n\
             tracestate: a=b"
        ))
        .await;
    assert_eq!(answer.headers("x-request-id"), ["mine-1"]);
    let seen = answer.text();
    assert!(seen.contains("x-request-id: mine-1") && seen.contains(trace), "{seen}");
    assert!(seen.contains("tracestate: a=b"), "{seen}");
}

#[tokio::test]
async fn an_answer_is_cleaned_too() {
    let instance = Instance::answering(|_| {
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Upgrade: h2c\r\nZeitwork-Answer: no_route\r\nX-Request-Id: theirs\r\nX-Kept: 1\r\n\
         Content-Length: 0\r\n\r\n"
            .to_owned()
    })
    .await;
    let edge = Edge::before(vec![instance.endpoint]);
    let answer = edge.get("/").await;
    for name in ["x-hop", "keep-alive", "upgrade", "zeitwork-answer"] {
        assert!(answer.header(name).is_none(), "{name}: {}", answer.head);
    }
    assert_eq!(answer.header("x-kept").unwrap(), "1");
    assert_eq!(answer.headers("x-request-id").len(), 1);
    assert_ne!(answer.header("x-request-id").unwrap(), "theirs");
}

async fn cookies_of(edge: &Edge) -> String {
    let answer = edge.get("/").await;
    answer.headers("set-cookie").iter().map(|cookie| cookie[..1].to_owned()).collect()
}

#[tokio::test]
async fn on_a_shared_domain_cookies_stay_at_home() {
    let cookies = |_: &_| {
        let all = [
            "a=1",
            "b=1; Domain=app.localhost; Path=/",
            "c=1; domain=localhost",
            "d=1; Path=/; DOMAIN = .localhost; Secure",
            "e=1; Domain=",
            "f=1; Domain=other.localhost",
            "g=Domain=localhost",
            "h=1; Domain=.app.localhost",
            "i=1;Domain=localhost.",
        ];
        let lines: String = all.iter().map(|cookie| format!("Set-Cookie: {cookie}\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n")
    };
    let instance = Instance::answering(cookies).await;
    let mut shared = route(vec![instance.endpoint]);
    shared.shared_domain = true;
    let edge = Edge::with(shared, Limits::default());
    assert_eq!(cookies_of(&edge).await, "abegh");
    let edge = Edge::before(vec![instance.endpoint]);
    assert_eq!(cookies_of(&edge).await, "abcdefghi");
}
