//! Clients that take their time.

use std::time::Duration;

use crate::limits::Limits;
use crate::testing::{Edge, HOST, Instance, route};

/// A limit that is to pass.
const SHORT: Duration = Duration::from_millis(200);
/// A limit that a client meets, also where it does not get the processor at once.
const LONG: Duration = Duration::from_secs(3);

async fn impatient(first_byte: Duration, head: Duration) -> (Edge, Instance) {
    let instance = Instance::echo().await;
    let limits = Limits { first_byte, head, ..Limits::default() };
    (Edge::with(route(vec![instance.endpoint]), limits), instance)
}

#[tokio::test]
async fn who_says_nothing_is_let_go() {
    let (edge, _instance) = impatient(SHORT, LONG).await;
    let mut client = edge.open().await;
    assert_eq!(client.rest().await.unwrap(), b"");
    assert_eq!(edge.sum(|counters| counters.silent.get()), 1);
}

#[tokio::test]
async fn who_never_ends_a_head_is_let_go() {
    let (edge, _instance) = impatient(LONG, SHORT).await;
    let mut client = edge.open().await;
    client.send("GET / HTTP/1.1\r\nHost: ").await;
    let end = client.rest().await.unwrap_or_default();
    let end = String::from_utf8(end).unwrap();
    assert!(end.is_empty() || end.starts_with("HTTP/1.1 408"), "{end}");
}

#[tokio::test]
async fn who_is_idle_too_long_is_let_go_after_an_answer() {
    let (edge, _instance) = impatient(LONG, LONG).await;
    let mut client = edge.open().await;
    client.send(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    assert_eq!(client.answer().await.unwrap().status(), 200);
    assert_eq!(client.rest().await.unwrap(), b"");
}

#[tokio::test]
async fn who_reads_nothing_is_let_go() {
    let instance = Instance::raw(|mut client| async move {
        client.answer().await?;
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        loop {
            let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            tokio::io::AsyncWriteExt::write_all(&mut client.stream, piece.as_bytes()).await?;
        }
    })
    .await;
    let limits = Limits { unread: Duration::from_millis(200), ..Limits::default() };
    let edge = Edge::with(route(vec![instance.endpoint]), limits);
    let mut client = edge.open().await;
    client.send(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    client.head().await.unwrap();
    crate::testing::until("it is let go", || edge.in_flight(instance.endpoint) == 0).await;
}

#[tokio::test]
async fn too_many_connections_are_refused_with_a_reason() {
    let instance = Instance::echo().await;
    let limits = Limits { connections: 2, ..Limits::default() };
    let edge = Edge::with(route(vec![instance.endpoint]), limits);
    let (mut first, mut second) = (edge.open().await, edge.open().await);
    for client in [&mut first, &mut second] {
        client.send(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
        assert_eq!(client.answer().await.unwrap().status(), 200);
    }
    let mut third = edge.open().await;
    let answer = third.answer().await.unwrap();
    assert_eq!(
        (answer.status(), answer.header("zeitwork-answer").unwrap().as_str()),
        (429, "limit")
    );
    drop(first);
    crate::testing::until("a place is free", || {
        edge.sum(|counters| counters.connections.get()) == 1
    })
    .await;
    assert_eq!(edge.get("/").await.status(), 200);
}
