use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Item;
use crate::api::Api;

/// Reads a request's head and answers with a stream that is then cut.
async fn serve(listener: &TcpListener, body: &str) -> String {
    let (mut socket, _) = listener.accept().await.unwrap();
    let head = head_of(&mut socket).await;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{body}");
    socket.write_all(answer.as_bytes()).await.unwrap();
    head
}

async fn head_of(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

async fn api() -> (TcpListener, Api) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = Api::new(&format!("http://{}", listener.local_addr().unwrap()), "k").unwrap();
    (listener, api)
}

#[tokio::test]
async fn a_lost_stream_goes_on_after_its_last_event_until_it_ends() {
    let (listener, api) = api().await;
    let server = async {
        let first = "id: a\nevent: line\ndata: {\"text\":\"1\"}\n\nid: b\nevent: line\ndata: {\"te";
        let first = serve(&listener, first).await;
        let second = "id: b\nevent: line\ndata: {\"text\":\"2\"}\n\nevent: slow\ndata: {}\n\n";
        let second = serve(&listener, second).await;
        let third = "id: c\nevent: gap\ndata: {\"from\":3}\n\nevent: end\ndata: {}\n\n";
        [first, second, serve(&listener, third).await]
    };
    let reader = async {
        let mut stream = api.follow("/builds/bld_1/logs");
        let mut items = Vec::new();
        while let Some(item) = stream.next().await.unwrap() {
            items.push(item);
        }
        items
    };
    let (requests, items) = tokio::join!(server, reader);
    assert_eq!(
        items,
        [
            Item::Line(json!({"text": "1"})),
            Item::Line(json!({"text": "2"})),
            Item::Gap(json!({"from": 3}))
        ]
    );
    assert!(!requests[0].contains("last-event-id"), "{requests:?}");
    assert!(requests[1].contains("last-event-id: a\r\n"), "{requests:?}");
    assert!(requests[2].contains("last-event-id: b\r\n"), "{requests:?}");
}

#[tokio::test]
async fn a_stream_whose_key_was_revoked_ends_with_an_error() {
    let (listener, api) = api().await;
    let end = "event: end\ndata: {\"reason\":\"key_revoked\"}\n\n";
    let mut stream = api.follow("/builds/bld_1/logs");
    let (_, ended) = tokio::join!(serve(&listener, end), stream.next());
    assert!(ended.unwrap_err().to_string().contains("revoked"));
}
