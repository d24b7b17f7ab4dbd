//! Connections that leave HTTP.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::limits::Limits;
use crate::testing::{Edge, HOST, Instance, route, until};

/// Upgrades whoever asks, greets, and echoes.
async fn echo() -> Instance {
    Instance::raw(|mut client| async move {
        while !client.answer().await?.head.contains("upgrade: websocket") {
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain").await;
        }
        client
            .send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: x\r\n\r\nhello",
            )
            .await;
        loop {
            let bytes = client.bytes(1).await?;
            client.stream.write_all(&bytes).await?;
        }
    })
    .await
}

fn ask(protocol: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
    )
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways_and_counts_as_in_flight() {
    let instance = echo().await;
    let mut edge = Edge::before(vec![instance.endpoint]);
    let mut client = edge.open().await;
    // The first bytes come with the head.
    client.send(&format!("{}early", ask("websocket"))).await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
    assert!(head.contains("sec-websocket-accept: x"), "{head}");
    assert_eq!(client.bytes(10).await.unwrap(), b"helloearly");
    edge.change(Some(route(Vec::new())));
    assert_eq!(edge.in_flight(instance.endpoint), 1, "still there after its route is gone");
    client.send("late").await;
    assert_eq!(client.bytes(4).await.unwrap(), b"late");
    assert_eq!(edge.sum(|counters| counters.upgrades.get()), 1);
    drop(client);
    until("none in flight", || edge.in_flight(instance.endpoint) == 0).await;
    until("none upgraded", || edge.sum(|counters| counters.upgrades.get()) == 0).await;
}

#[tokio::test]
async fn http_itself_is_never_upgraded() {
    let instance = echo().await;
    let edge = Edge::before(vec![instance.endpoint]);
    for protocol in ["h2c", "H2C", "websocket, h2c", "HTTP/2.0", "TLS/1.0"] {
        let mut client = edge.open().await;
        client.send(&ask(protocol)).await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "plain"), "{protocol}");
    }
    // Neither with a body nor without asking for it in Connection.
    for head in [
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\n\r\n"),
        ask("websocket\r\nContent-Length: 1").replace("\r\n\r\n", "\r\n\r\nx"),
    ] {
        let mut client = edge.open().await;
        client.send(&head).await;
        assert_eq!(client.answer().await.unwrap().status(), 200, "{head}");
    }
}

#[tokio::test]
async fn a_refused_upgrade_is_a_plain_answer_and_what_follows_is_a_request() {
    let instance = Instance::echo().await;
    let edge = Edge::before(vec![instance.endpoint]);
    let mut client = edge.open().await;
    client.send(&ask("websocket")).await;
    let answer = client.answer().await.unwrap();
    assert!(answer.status() == 200 && answer.text().contains("upgrade: websocket"), "{answer:?}");
    client.send(&format!("GET /next HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    assert!(client.answer().await.unwrap().text().starts_with("GET /next "));
}

#[tokio::test]
async fn a_silent_upgrade_ends_and_a_stop_ends_the_rest() {
    // Long enough for what is to be said before.
    const LONG: Duration = Duration::from_secs(3);
    let instance = echo().await;
    let limits = Limits { upgrade_idle: LONG, ..Limits::default() };
    let edge = Edge::with(route(vec![instance.endpoint]), limits);
    let mut client = edge.open().await;
    client.send(&ask("websocket")).await;
    client.head().await.unwrap();
    assert_eq!(client.rest().await.unwrap(), b"hello");

    let limits = Limits { linger: Duration::from_millis(10), drain: LONG, ..Limits::default() };
    let mut edge = Edge::with(route(vec![instance.endpoint]), limits);
    let mut client = edge.open().await;
    client.send(&ask("websocket")).await;
    client.head().await.unwrap();
    edge.server.stop();
    client.send("x").await;
    assert_eq!(client.bytes(6).await.unwrap(), b"hellox", "it goes on while others are drained");
    edge.server.ended().await.unwrap();
    until("none in flight", || edge.in_flight(instance.endpoint) == 0).await;
}
