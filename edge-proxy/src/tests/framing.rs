//! Requests that two programs might read in two ways: each is refused, or read in one way and
//! written anew. Raw bytes in, and what the instance really got is looked at.

use crate::testing::{Client, Edge, HOST, Instance};

/// Sent as it stands, then the connection is closed for writing.
async fn probe(edge: &Edge, raw: &str) -> (u16, String) {
    use tokio::io::AsyncWriteExt;
    let mut client: Client = edge.open().await;
    client.send(&raw.replace("HOST", HOST)).await;
    let _ = client.stream.flush().await;
    match client.head().await {
        Ok(head) => {
            let rest = tokio::time::timeout(std::time::Duration::from_millis(300), client.rest());
            let closed = matches!(rest.await, Ok(Ok(_)));
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            (status, if closed { "closed".to_owned() } else { "open".to_owned() })
        }
        Err(_) => (0, "closed".to_owned()),
    }
}

const REFUSED: &[(&str, &str)] = &[
    (
        "length and coding",
        "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "coding and length",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    ),
    (
        "coding and length, case",
        "POST / HTTP/1.1\r\nHost: HOST\r\ntransfer-encoding: chunked\r\ncontent-LENGTH: 4\r\n\r\n0\r\n\r\n",
    ),
    (
        "two lengths",
        "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    ),
    ("list of lengths", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4, 4\r\n\r\nabcd"),
    ("signed length", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: +4\r\n\r\nabcd"),
    ("negative length", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: -4\r\n\r\nabcd"),
    ("hexadecimal length", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0x4\r\n\r\nabcd"),
    (
        "overflowing length",
        "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ),
    ("empty length", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: \r\n\r\n"),
    (
        "unknown coding",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked not last",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ),
    (
        "two codings",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "second coding identity",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    ),
    (
        "coding in 1.0",
        "POST / HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "space before colon",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ),
    ("tab before colon", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length\t: 4\r\n\r\nabcd"),
    ("folded line", "POST / HTTP/1.1\r\nHost: HOST\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    ("folded first line", "GET / HTTP/1.1\r\n Host: HOST\r\n\r\n"),
    (
        "folded coding",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "vertical tab",
        "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    ),
    ("NUL in a value", "GET / HTTP/1.1\r\nHost: HOST\r\nX: a\0b\r\n\r\n"),
    (
        "bare CR in a value",
        "GET / HTTP/1.1\r\nHost: HOST\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n",
    ),
    ("no colon", "GET / HTTP/1.1\r\nHost: HOST\r\nX\r\n\r\n"),
    ("empty name", "GET / HTTP/1.1\r\nHost: HOST\r\n: x\r\n\r\n"),
    ("no host", "GET / HTTP/1.1\r\n\r\n"),
    ("two hosts", "GET / HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n"),
    ("two hosts that differ", "GET / HTTP/1.1\r\nHost: HOST\r\nHost: other\r\n\r\n"),
    ("empty host", "GET / HTTP/1.1\r\nHost: \r\n\r\n"),
    ("host list", "GET / HTTP/1.1\r\nHost: HOST, other\r\n\r\n"),
    ("host with user", "GET / HTTP/1.1\r\nHost: user@HOST\r\n\r\n"),
    ("host with path", "GET / HTTP/1.1\r\nHost: HOST/x\r\n\r\n"),
    ("host with space", "GET / HTTP/1.1\r\nHost: HOST x\r\n\r\n"),
    ("bad port", "GET / HTTP/1.1\r\nHost: HOST:99999\r\n\r\n"),
    ("target of another host", "GET http://other/ HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("target with user", "GET http://a@HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("target of another scheme", "GET ftp://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("CONNECT", "CONNECT HOST:80 HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("no version", "GET /\r\nHost: HOST\r\n\r\n"),
    ("version 2.0", "GET / HTTP/2.0\r\nHost: HOST\r\n\r\n"),
    ("version 1.2", "GET / HTTP/1.2\r\nHost: HOST\r\n\r\n"),
    ("preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("two spaces", "GET  / HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("space in the target", "GET /a b HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("method with a colon", "GE:T / HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("bytes of TLS", "\x16\x03\x01\x02\0\x01\0\x01"),
    (
        "pipelined upload",
        "GET / HTTP/1.1\r\nHost: HOST\r\n\r\nPOST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
];

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_refused_and_the_connection_closed() {
    let instance = Instance::echo().await;
    let edge = Edge::before(vec![instance.endpoint]);
    let mut wrong = Vec::new();
    for (name, raw) in REFUSED {
        let pipelined = *name == "pipelined upload";
        let (status, end) = probe(&edge, raw).await;
        let refused = if pipelined { status == 200 } else { matches!(status, 0 | 400..=499 | 505) };
        if !refused || end != "closed" {
            wrong.push(format!("{name}: {status}, {end}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

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
async fn a_head_that_is_too_large_is_refused() {
    let instance = Instance::echo().await;
    let edge = Edge::before(vec![instance.endpoint]);
    let many = "X: y\r\n".repeat(200);
    assert_eq!(probe(&edge, &format!("GET / HTTP/1.1\r\nHost: HOST\r\n{many}\r\n")).await.0, 431);
    let long = "y".repeat(100_000);
    let (status, end) =
        probe(&edge, &format!("GET / HTTP/1.1\r\nHost: HOST\r\nX: {long}\r\n\r\n")).await;
    assert!(matches!(status, 0 | 431), "{status}");
    assert_eq!(end, "closed");
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
