//! Probes of the request path: raw bytes in, and for each its exact fate. A refusal is one answer
//! of ours and the end of the connection, and no instance hears of it. What is passed on reaches
//! the instance as exactly these requests, and the connection then serves one more: nothing was
//! left over that could become a request of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::testing::{Client, Edge, HOST, Instance};

const PROBES: &str = include_str!("probes.txt");
/// What every probe that is passed on is followed by.
const LAST: &str = "GET /last HTTP/1.1";

/// What is sent, and what must become of it.
#[derive(Debug, Default)]
struct Probe {
    name: String,
    bytes: Vec<u8>,
    /// Requests that the instance hears: first line and body.
    heard: Vec<(String, String)>,
    /// Our own answer, then the end.
    refused: Option<u16>,
    closed: bool,
}

fn probes() -> Vec<Probe> {
    let mut probes: Vec<Probe> = Vec::new();
    for line in PROBES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(request) = line.strip_prefix("> ") {
            let (first, body) = request.split_once(" + ").unwrap_or((request, ""));
            let body = String::from_utf8(bytes(body)).unwrap();
            probes.last_mut().unwrap().heard.push((first.replace("HOST", HOST), body));
            continue;
        }
        let columns: Vec<&str> = line.splitn(3, " | ").collect();
        let [name, fate, raw] = columns[..] else { panic!("three columns: {line}") };
        let refused = fate.trim_start_matches("ok").trim().parse().ok();
        let closed = fate == "closed";
        assert!(closed || fate.starts_with("ok") || refused.is_some(), "{line}");
        let probe =
            Probe { name: name.to_owned(), bytes: bytes(raw), refused, closed, heard: Vec::new() };
        probes.push(probe);
    }
    probes
}

/// The bytes of a text with escapes.
fn bytes(text: &str) -> Vec<u8> {
    let text = text.replace("HOST", HOST);
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let (byte, rest) = match part.as_bytes()[0] {
            b'r' => (b'\r', &part[1..]),
            b'n' => (b'\n', &part[1..]),
            b't' => (b'\t', &part[1..]),
            b'0' => (0, &part[1..]),
            b'x' => (u8::from_str_radix(&part[1..3], 16).unwrap(), &part[3..]),
            _ => panic!("no escape: {part}"),
        };
        bytes.push(byte);
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

/// An instance that writes down what it hears.
async fn listener(heard: Arc<Mutex<Vec<(String, String)>>>) -> Instance {
    Instance::answering(move |request| {
        let line = request.head.lines().next().unwrap().to_owned();
        let head = request.head.to_ascii_lowercase();
        for hidden in ["transfer_encoding", "content_length", "http2-settings", "expect:"] {
            assert!(!head.contains(hidden), "{head}");
        }
        heard.lock().unwrap().push((line, request.text()));
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned()
    })
    .await
}

/// The status of the next answer that is no "100 Continue".
async fn status(client: &mut Client) -> Option<u16> {
    loop {
        let answer = client.answer().await.ok()?;
        if answer.status() != 100 {
            return Some(answer.status());
        }
    }
}

/// Sends the probe; says where its fate is another.
async fn send(edge: &Edge, probe: &Probe) -> Result<(), String> {
    let mut client = edge.open().await;
    client.stream.write_all(&probe.bytes).await.map_err(|error| error.to_string())?;
    let passed = probe.heard.iter().map(|_| 200);
    for expected in passed.chain(probe.refused) {
        let status = status(&mut client).await;
        if status != Some(expected) {
            return Err(format!("{status:?} in place of {expected}"));
        }
    }
    if probe.refused.is_none() && !probe.closed {
        client.send(&format!("{LAST}\r\nHost: {HOST}\r\n\r\n")).await;
        let status = status(&mut client).await;
        return if status == Some(200) { Ok(()) } else { Err(format!("{status:?} for the last")) };
    }
    match tokio::time::timeout(Duration::from_secs(5), client.rest()).await {
        Ok(Ok(rest)) if rest.is_empty() => Ok(()),
        Ok(rest) => Err(format!("more came: {rest:?}")),
        Err(_) => Err("it stays open".to_owned()),
    }
}

#[tokio::test]
async fn each_probe_has_exactly_its_fate_and_no_instance_hears_more() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let instance = listener(heard.clone()).await;
    let edge = Edge::before(vec![instance.endpoint]);
    let mut wrong = Vec::new();
    let probes = probes();
    assert!(probes.len() >= 95, "{}", probes.len());
    for mut probe in probes {
        if let Err(why) = send(&edge, &probe).await {
            wrong.push(format!("{}: {why}", probe.name));
        }
        if probe.refused.is_none() && !probe.closed {
            probe.heard.push((LAST.to_owned(), String::new()));
        }
        let heard = std::mem::take(&mut *heard.lock().unwrap());
        if heard != probe.heard {
            wrong.push(format!("{}: the instance heard {heard:?}", probe.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
