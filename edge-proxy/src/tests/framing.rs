//! Bodies that break off or lie, of clients and of instances.

use crate::testing::{Edge, HOST, Instance};

/// Bodies that break off or lie: the connection must not be read on as another request.
const BROKEN_BODIES: &[(&str, &str)] = &[
    ("no size", "\r\nGET /second HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("bad size", "zz\r\nhi\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("negative size", "-1\r\nhi\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("prefix 0x", "0x2\r\nhi\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    (
        "overflowing size",
        "fffffffffffffffff\r\nhi\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: HOST\r\n\r\n",
    ),
    ("bare LF after size", "2\nhi\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("too long", "2\r\nhiGET /second HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    (
        "bare LF in an extension",
        "2;a\nb\r\nhi\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: HOST\r\n\r\n",
    ),
];

#[tokio::test]
async fn a_broken_chunked_body_ends_its_connection() {
    let instance = Instance::echo().await;
    let edge = Edge::before(vec![instance.endpoint]);
    for (name, body) in BROKEN_BODIES {
        let raw =
            format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let mut client = edge.open().await;
        client.send(&raw.replace("HOST", HOST)).await;
        let all = String::from_utf8(client.rest().await.unwrap_or_default()).unwrap();
        assert!(!all.contains("/second"), "{name}: {all}");
        assert!(all.is_empty() || all.starts_with("HTTP/1.1 400"), "{name}: {all}");
    }
}

#[tokio::test]
async fn an_upload_after_other_requests_is_still_read() {
    let instance = Instance::echo().await;
    let edge = Edge::before(vec![instance.endpoint]);
    let mut client = edge.open().await;
    for number in 0..3 {
        client.send(&format!("GET /{number} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
        assert_eq!(client.answer().await.unwrap().status(), 200);
        let head = format!("POST /{number} HTTP/1.1\r\nHost: {HOST}\r\n");
        // The head comes in pieces, its body names the very field that is looked for.
        for piece in [
            &head,
            "Transfer-Enc",
            "oding: chunked\r\n\r\n",
            "18\r\n\nContent-Length: 99999\r\n\r\n",
        ] {
            client.send(piece).await;
            tokio::task::yield_now().await;
        }
        client.send("0\r\n\r\n").await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert!(answer.text().ends_with("\nContent-Length: 99999\r\n"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_refused_request_does_not_leave_its_body_behind() {
    let instance = Instance::echo().await;
    let edge = Edge::before(vec![instance.endpoint]);
    let mut client = edge.open().await;
    let inner = format!("GET /inner HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let head =
        format!("POST / HTTP/1.1\r\nHost: unknown\r\nContent-Length: {}\r\n\r\n", inner.len());
    client.send(&head).await;
    assert_eq!(client.answer().await.unwrap().status(), 404);
    // Too late or not: it is the first request's body, never a request.
    let _ = tokio::io::AsyncWriteExt::write_all(&mut client.stream, inner.as_bytes()).await;
    let rest = tokio::time::timeout(std::time::Duration::from_millis(200), client.answer()).await;
    assert!(!matches!(rest, Ok(Ok(answer)) if answer.text().contains("/inner")));
}

#[tokio::test]
async fn an_instance_that_lies_about_its_answer_hurts_only_itself() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let instance = Instance::answering(move |_| answer.to_owned()).await;
        let edge = Edge::before(vec![instance.endpoint]);
        assert_eq!(edge.get("/").await.status(), 502, "{answer}");
    }
    let both = Instance::answering(|_| {
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
            .to_owned()
    })
    .await;
    let edge = Edge::before(vec![both.endpoint]);
    let answer = edge.get("/").await;
    assert!(answer.header("content-length").is_none_or(|length| length == "2"), "{answer:?}");
    assert_eq!(answer.text(), "hi");
}

#[tokio::test]
async fn what_an_instance_says_unasked_answers_nobody() {
    let instance = Instance::answering(|request| {
        let path = request.head.split(' ').nth(1).unwrap();
        let length = path.len();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{path}\
             HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"
        )
    })
    .await;
    let edge = Edge::before(vec![instance.endpoint]);
    for number in 0..50 {
        let path = format!("/{number}");
        assert_eq!(edge.get(&path).await.text(), path);
    }
}
