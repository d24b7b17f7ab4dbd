//! Bytes in, bytes out: streaming, codings, versions, our own answers.

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::limits::Limits;
use crate::testing::{Client, Edge, HOST, Instance, route, until};

#[tokio::test]
async fn a_request_reaches_its_instance_and_the_answer_comes_back() {
    let instance = Instance::echo().await;
    let edge = Edge::before(vec![instance.endpoint]);
    let answer = edge.get("/a%20b?c=d&e").await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert!(answer.text().starts_with("GET /a%20b?c=d&e HTTP/1.1"), "{}", answer.text());
    assert!(answer.header("x-request-id").unwrap().starts_with("req_"));
    assert!(answer.header("zeitwork-answer").is_none());
    until("nothing in flight", || edge.in_flight(instance.endpoint) == 0).await;
}

#[tokio::test]
async fn an_unknown_host_never_reaches_anybody() {
    let instance = Instance::echo().await;
    let edge = Edge::before(vec![instance.endpoint]);
    for host in ["other.localhost", "127.0.0.1", "localhost", "x.app.localhost", "app.localhostx"] {
        let answer = edge.ask(&format!("GET / HTTP/1.1\r\nHost: {host}")).await;
        assert_eq!(answer.status(), 404, "{host}");
        assert_eq!(answer.header("zeitwork-answer").unwrap(), "no_route");
        assert_eq!(answer.header("content-type").unwrap(), "application/problem+json");
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem["code"], "no_route");
        assert_eq!(problem["request_id"], answer.header("x-request-id").unwrap());
    }
    let page = edge.ask("GET / HTTP/1.1\r\nHost: no\r\nAccept: text/html,*/*").await;
    assert!(page.text().contains("<h1>") && page.status() == 404);
}

#[tokio::test]
async fn a_host_without_instance_says_so() {
    let edge = Edge::before(Vec::new());
    let answer = edge.get("/").await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.header("zeitwork-answer").unwrap(), "no_instance");
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn case_port_and_dot_of_the_host_do_not_matter() {
    let instance = Instance::echo().await;
    let edge = Edge::before(vec![instance.endpoint]);
    for host in ["APP.localhost", "app.localhost:8080", "app.localhost."] {
        let answer = edge.ask(&format!("GET / HTTP/1.1\r\nHost: {host}")).await;
        assert!(answer.text().contains(&format!("host: {host}")), "{}", answer.text());
    }
    let absolute = edge.ask(&format!("GET http://{HOST}/x HTTP/1.1\r\nHost: {HOST}")).await;
    assert!(absolute.text().starts_with("GET /x HTTP/1.1"), "{}", absolute.text());
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    // Answers each piece as soon as it has it.
    let instance = Instance::raw(|mut client| async move {
        client.head().await?;
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for _ in 0..3 {
            assert_eq!(client.line().await?, "4");
            let piece = client.bytes(6).await?;
            client.send("4\r\n").await;
            client.stream.write_all(&piece).await?;
        }
        client.send("0\r\n\r\n").await;
        client.rest().await.map(drop)
    })
    .await;
    let edge = Edge::before(vec![instance.endpoint]);
    let mut client = edge.open().await;
    client
        .send(&format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n"))
        .await;
    let head = client.head().await.unwrap();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    for piece in ["ping", "pong", "pang"] {
        client.send(&format!("4\r\n{piece}\r\n")).await;
        assert_eq!(client.line().await.unwrap(), "4");
        assert_eq!(client.bytes(6).await.unwrap(), format!("{piece}\r\n").into_bytes());
        assert_eq!(edge.in_flight(instance.endpoint), 1);
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.bytes(5).await.unwrap(), b"0\r\n\r\n");
    until("nothing in flight", || edge.in_flight(instance.endpoint) == 0).await;
}

#[tokio::test]
async fn a_large_body_passes_unchanged_in_both_directions() {
    let instance = Instance::raw(|mut client| async move {
        let request = client.answer().await?;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
        client.send(&head).await;
        client.stream.write_all(&request.body).await
    })
    .await;
    let edge = Edge::before(vec![instance.endpoint]);
    let body: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let mut client = edge.open().await;
    let length = body.len();
    client
        .send(&format!("PUT / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\n\r\n"))
        .await;
    client.stream.write_all(&body).await.unwrap();
    let answer = client.answer().await.unwrap();
    assert!(answer.body == body, "{} bytes of {length}", answer.body.len());
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_and_one_that_is_refused_does_not() {
    let instance = Instance::echo().await;
    let edge = Edge::before(vec![instance.endpoint]);
    let head = |host: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
    };
    let mut client = edge.open().await;
    client.send(&head(HOST)).await;
    assert_eq!(client.head().await.unwrap(), "HTTP/1.1 100 Continue");
    client.send("hi").await;
    let answer = client.answer().await.unwrap();
    assert!(answer.text().ends_with("\n\nhi") && !answer.text().contains("expect"), "{answer:?}");
    let mut client = edge.open().await;
    client.send(&head("unknown.localhost")).await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn old_clients_are_served() {
    let chunked = Instance::answering(|_| {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n".to_owned()
    })
    .await;
    let edge = Edge::before(vec![chunked.endpoint]);
    let mut client = edge.open().await;
    client.send(&format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n")).await;
    let head = client.head().await.unwrap();
    assert!(!head.contains("chunked"), "{head}");
    assert_eq!(client.rest().await.unwrap(), b"hi");
}

#[tokio::test]
async fn answers_without_body_keep_their_length_and_the_connection() {
    let instance = Instance::raw(|mut client| async move {
        loop {
            let request = client.answer().await?;
            let status =
                if request.head.starts_with("HEAD") { "200 OK" } else { "304 Not Modified" };
            client.send(&format!("HTTP/1.1 {status}\r\nContent-Length: 1234\r\n\r\n")).await;
        }
    })
    .await;
    let edge = Edge::before(vec![instance.endpoint]);
    let mut client = edge.open().await;
    for (method, status) in [("HEAD", 200), ("GET", 304), ("HEAD", 200)] {
        client.send(&format!("{method} / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
        let head = client.head().await.unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        // hyper leaves the length of a 304 out, as it may (RFC 9110 §15.4.5).
        assert!(status == 304 || head.contains("content-length: 1234"), "{head}");
    }
}

#[tokio::test]
async fn trailers_pass_but_not_claims_in_them() {
    let instance = Instance::echo().await;
    let edge = Edge::before(vec![instance.endpoint]);
    let answer = edge
        .ask(&format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\nTE: trailers\r\nTrailer: x-sum, x-forwarded-for\r\n\
             Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\nX-Forwarded-For: 6.6.6.6"
        ))
        .await;
    assert!(answer.text().contains("te: trailers"), "{}", answer.text());
    assert!(answer.text().ends_with("hix-sum: 7"), "{}", answer.text());
}

#[tokio::test]
async fn a_silent_instance_is_given_up_and_a_slow_upload_is_not() {
    let (sender, mut asked) = mpsc::unbounded_channel();
    let instance = Instance::raw(move |mut client| {
        let sender = sender.clone();
        async move {
            let request = client.answer().await?;
            if request.body.is_empty() {
                let _ = sender.send(());
                return client.rest().await.map(drop);
            }
            client.send("HTTP/1.1 204 No Content\r\n\r\n").await;
            Ok(())
        }
    })
    .await;
    let mut slow = route(vec![instance.endpoint]);
    slow.timeout_ms = 200;
    let edge = Edge::with(slow, Limits::default());
    let answer = edge.get("/").await;
    assert_eq!(
        (answer.status(), answer.header("zeitwork-answer").unwrap().as_str()),
        (504, "timeout")
    );
    assert!(asked.recv().await.is_some() && asked.try_recv().is_err(), "it is asked once");
    let mut client = edge.open().await;
    client.send(&format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\n")).await;
    for byte in ["a", "b", "c", "d", "e"] {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        client.send(byte).await;
    }
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 204"));
}

#[tokio::test]
async fn one_connection_serves_many_requests_of_many_hosts() {
    let instance = Instance::echo().await;
    let edge = Edge::before(vec![instance.endpoint]);
    let mut client = edge.open().await;
    for number in 0..20 {
        let host = if number % 3 == 0 { "unknown" } else { HOST };
        client.send(&format!("GET /{number} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status(), if number % 3 == 0 { 404 } else { 200 });
    }
    // Sent at once they are answered in order.
    let all: String =
        (0..10).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).collect();
    client.send(&all).await;
    for number in 0..10 {
        let answer = client.answer().await.unwrap();
        assert!(answer.text().starts_with(&format!("GET /{number} ")), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_request() {
    let instance = Instance::raw(|mut client| async move {
        client.head().await?;
        client.rest().await.map(drop)
    })
    .await;
    let edge = Edge::before(vec![instance.endpoint]);
    let mut client = edge.open().await;
    client.send(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    until("one in flight", || edge.in_flight(instance.endpoint) == 1).await;
    drop::<Client>(client);
    until("none in flight", || edge.in_flight(instance.endpoint) == 0).await;
}
