//! The edge's own answers: each has an id, a code and the one form, also where there was no
//! request that could be read.

use std::sync::mpsc::sync_channel;

use tokio::io::AsyncWriteExt;

use crate::limits::Limits;
use crate::testing::{Answer, Edge, HOST, Instance, route};

/// Fails unless the answer is ours, of this code, and says its id in both places.
fn assert_ours(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(answer.headers("zeitwork-answer"), [code], "{answer:?}");
    assert_eq!(answer.headers("content-type"), ["application/problem+json"], "{answer:?}");
    let ids = answer.headers("x-request-id");
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(ids.len(), 1, "{answer:?}");
    assert!(!ids[0].is_empty(), "{answer:?}");
    assert_eq!((&problem["request_id"], &problem["code"]), (&ids[0].as_str().into(), &code.into()));
    assert_eq!(problem["status"], status);
}

#[tokio::test]
async fn an_answer_without_a_request_has_an_id_and_the_one_form() {
    let instance = Instance::echo().await;
    let edge = Edge::before(vec![instance.endpoint]);
    let many = "X: y\r\n".repeat(200);
    let long = "y".repeat(70_000);
    for (head, status, code) in [
        ("nonsense".to_owned(), 400, "bad_request"),
        (format!("GET / HTTP/1.1\r\nHost : {HOST}"), 400, "bad_request"),
        (format!("GET / HTTP/3.1\r\nHost: {HOST}"), 400, "bad_request"),
        (format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{many}X: y"), 431, "head_too_large"),
        (format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX: {long}"), 431, "head_too_large"),
        (format!("GET /{long} HTTP/1.1\r\nHost: {HOST}"), 431, "head_too_large"),
        (format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nHost: {HOST}"), 400, "bad_request"),
        ("GET / HTTP/1.1\r\nHost: unknown".to_owned(), 404, "no_route"),
    ] {
        let answer = edge.ask(&head).await;
        assert_ours(&answer, status, code);
    }
    assert_eq!(instance.requests(), 0);
    assert_eq!(edge.sum(|counters| counters.requests[3].get()), 8, "each is counted");
}

#[tokio::test]
async fn who_is_one_too_many_learns_it_with_an_id_although_it_has_sent_a_request() {
    let instance = Instance::echo().await;
    let limits = Limits { connections: 1, ..Limits::default() };
    let edge = Edge::with(route(vec![instance.endpoint]), limits);
    let mut first = edge.open().await;
    first.send(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    first.answer().await.unwrap();
    for _ in 0..20 {
        let mut client = edge.open().await;
        let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 3000\r\n\r\n");
        // The edge may have closed its side already; the answer is there all the same.
        let _ = client.stream.write_all(format!("{head}{}", "x".repeat(3000)).as_bytes()).await;
        assert_ours(&client.answer().await.unwrap(), 429, "limit");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_in_the_access_log_with_the_id_that_was_answered() {
    let (log, records) = sync_channel(16);
    let edge = Edge::logging(route(Vec::new()), &log);
    let answer = edge.ask("GET / HTTP/1.1\r\nbroken").await;
    let records = tokio::task::spawn_blocking(move || records.recv().unwrap()).await.unwrap();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record.id.to_str().unwrap(), answer.header("x-request-id").unwrap());
    assert_eq!((record.status, record.answer), (400, Some("bad_request")));
    assert!(record.method.is_none() && record.uri.is_none());
}

#[tokio::test]
async fn an_answer_before_the_end_of_an_upload_reaches_its_client() {
    let edge = Edge::before(Vec::new());
    for chunked in [false, true] {
        let mut client = edge.open().await;
        let size = 8 * 1024 * 1024;
        let body = "x".repeat(size);
        let framing = if chunked {
            format!("Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n")
        } else {
            format!("Content-Length: {size}\r\n\r\n")
        };
        client.send(&format!("POST / HTTP/1.1\r\nHost: unknown\r\n{framing}")).await;
        client.stream.write_all(body.as_bytes()).await.unwrap();
        assert_ours(&client.answer().await.unwrap(), 404, "no_route");
    }
}

#[tokio::test]
async fn only_what_nobody_asked_for_is_taken_for_hypers_own() {
    // An answer that looks like hyper's own, at its end and as a whole.
    let text = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let instance = Instance::answering(move |_| {
        format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{text}", text.len())
    })
    .await;
    let edge = Edge::before(vec![instance.endpoint]);
    let mut client = edge.open().await;
    let good = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    // Two good ones and a bad one at once, and the same one after the other.
    for pieces in
        [vec![format!("{good}{good}bad\r\n\r\n")], vec![good.clone(), good, "bad\r\n\r\n".into()]]
    {
        let mut answers = Vec::new();
        for piece in &pieces {
            client.send(piece).await;
            if pieces.len() > 1 {
                answers.push(client.answer().await.unwrap());
            }
        }
        while answers.len() < 3 {
            answers.push(client.answer().await.unwrap());
        }
        assert_eq!((answers[0].text().as_str(), answers[1].text().as_str()), (text, text));
        assert!(answers[1].header("zeitwork-answer").is_none());
        assert_ours(&answers[2], 400, "bad_request");
        assert_eq!(client.rest().await.unwrap(), b"");
        client = edge.open().await;
    }
}
