//! Long answers, long uploads and connections that have left HTTP stay whole, whatever replaces
//! the instance at their other end.
//!
//! They last as long as the test wants, not as long as a clock says: it reads and writes a little
//! at a time until everything has happened, and only then the rest.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use zeitwork_tests::load::Load;
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, eventually};

use super::{app, live_project};

/// Bytes of a body: enough for minutes at the pace below.
const SIZE: usize = 64 * 1024 * 1024;
/// Bytes at a time while there is something to wait for, and the pause after them.
const PIECE: usize = 16 * 1024;
const PAUSE: Duration = Duration::from_millis(100);
/// The kernels and the edge hold fewer pieces than this between them.
const HELD: usize = 1024;
/// What a long answer repeats.
const LINE: &[u8; 16] = b"0123456789abcde\n";
/// The digest of so many bytes of it.
const DIGEST: &str = "fd235b7890118c73e2284f1de8df6bfa";
/// Longest silence of the other side.
const LIMIT: Duration = Duration::from_secs(30);

/// Streams that end well after `over` turns true.
struct Streams {
    over: watch::Sender<bool>,
    edge: SocketAddr,
    host: Arc<str>,
    tasks: JoinSet<&'static str>,
}

impl Streams {
    fn new(edge: SocketAddr, host: &str) -> Self {
        Self { over: watch::Sender::new(false), edge, host: host.into(), tasks: JoinSet::new() }
    }

    /// One of each kind and a second upgrade, one after the other: the application's server has a
    /// short queue. Returns when all have reached their instance.
    async fn open(&mut self) {
        let (begun, mut all_begun) = tokio::sync::mpsc::channel::<()>(1);
        for kind in 0..4 {
            let stream = TcpStream::connect(self.edge).await.unwrap();
            let (host, over, begun) = (self.host.clone(), self.over.subscribe(), begun.clone());
            match kind {
                0 => self.tasks.spawn(download(stream, host, over, begun)),
                1 => self.tasks.spawn(upload(stream, host, over, begun)),
                _ => self.tasks.spawn(talk(stream, host, over, begun)),
            };
            timeout(LIMIT, all_begun.recv()).await.expect("a stream begins").expect("none failed");
        }
    }

    /// Lets all come to their end and returns how many there were.
    async fn finish(mut self) -> usize {
        self.over.send_replace(true);
        let mut ended = 0;
        while let Some(stream) = self.tasks.join_next().await {
            stream.expect("a stream is whole");
            ended += 1;
        }
        ended
    }
}

type Begun = tokio::sync::mpsc::Sender<()>;

async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    timeout(LIMIT, stream.write_all(bytes)).await.expect("it takes bytes").unwrap();
}

/// Reads an answer's head byte by byte, so that nothing of its body is lost.
async fn head(stream: &mut TcpStream, expected: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(LIMIT, stream.read_u8()).await.expect("an answer in time").unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with(expected), "{head}");
}

async fn download(
    mut stream: TcpStream,
    host: Arc<str>,
    over: watch::Receiver<bool>,
    begun: Begun,
) -> &'static str {
    let ask = format!("GET /download/{SIZE} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    send(&mut stream, ask.as_bytes()).await;
    head(&mut stream, "HTTP/1.1 200").await;
    begun.send(()).await.unwrap();
    let (mut read, mut piece) = (0, vec![0; PIECE]);
    while read < SIZE {
        let some = timeout(LIMIT, stream.read(&mut piece)).await.expect("it goes on").unwrap();
        assert_ne!(some, 0, "the answer broke off after {read} bytes");
        let is_whole = |(at, byte): (usize, &u8)| *byte == LINE[(read + at) % LINE.len()];
        assert!(piece[..some].iter().enumerate().all(is_whole), "other bytes after {read}");
        read += some;
        if !*over.borrow() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    "download"
}

async fn upload(
    mut stream: TcpStream,
    host: Arc<str>,
    over: watch::Receiver<bool>,
    begun: Begun,
) -> &'static str {
    let ask = format!("POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: {SIZE}\r\n\r\n");
    send(&mut stream, ask.as_bytes()).await;
    let piece = LINE.repeat(PIECE / LINE.len());
    for number in 0..SIZE / PIECE {
        send(&mut stream, &piece).await;
        // The instance has begun to read.
        if number == HELD {
            begun.send(()).await.unwrap();
        }
        if number > HELD && !*over.borrow() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    head(&mut stream, "HTTP/1.1 200").await;
    let mut digest = String::new();
    stream.read_to_string(&mut digest).await.unwrap();
    assert_eq!(digest, DIGEST, "the instance read other bytes");
    "upload"
}

async fn talk(
    mut stream: TcpStream,
    host: Arc<str>,
    over: watch::Receiver<bool>,
    begun: Begun,
) -> &'static str {
    let ask = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    send(&mut stream, ask.as_bytes()).await;
    head(&mut stream, "HTTP/1.1 101").await;
    begun.send(()).await.unwrap();
    let mut number = 0_u64;
    loop {
        let is_last = *over.borrow();
        let text = format!("{number:015}\n");
        send(&mut stream, text.as_bytes()).await;
        let mut echoed = [0; 16];
        timeout(LIMIT, stream.read_exact(&mut echoed)).await.expect("an echo in time").unwrap();
        assert_eq!(echoed, text.as_bytes());
        if is_last {
            return "talk";
        }
        number += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_stay_whole_through_pushes_rollback_and_scale_under_load() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, _) = live_project(&cluster, "acme/streams").await;
    let environment = format!("/projects/{}/environments/production", project.id);
    // Streams are waited for as long as the project says.
    owner.send(Method::PATCH, &environment, &json!({"drain_seconds": 900})).await;
    let first = repository.commit_directory(&app("streams"), "Stream").await.unwrap();
    cluster.push(&repository).await;
    cluster.page_with(&project.host, &format!("commit={first}"), LIVE_LIMIT).await;
    owner.live(&project, &first).await;
    let load = Load::start(&[cluster.edge], &project.host, 1);
    let mut streams = Streams::new(cluster.edge, &project.host);
    streams.open().await;

    let second = repository.commit(&[("version", "2\n")], "Stream more").await.unwrap();
    cluster.push(&repository).await;
    cluster.page_with(&project.host, &format!("commit={second}"), LIVE_LIMIT).await;
    owner.live(&project, &second).await;
    streams.open().await;

    owner.send(Method::POST, &format!("{environment}/rollback"), &json!({})).await;
    cluster.page_with(&project.host, &format!("commit={first}"), LIVE_LIMIT).await;
    owner.live(&project, &first).await;
    streams.open().await;

    let scale = format!("{environment}/scale");
    for replicas in [2, 1] {
        owner.send(Method::POST, &scale, &json!({"replicas": replicas})).await;
        let instances = format!("/instances?project={}", project.id);
        eventually(&format!("{replicas} serve"), LIVE_LIMIT, || async {
            let page = owner.get(&instances).await;
            let healthy = page["items"].as_array().unwrap().iter();
            let healthy = healthy.filter(|instance| instance["status"] == "healthy").count();
            if healthy == replicas { Ok(()) } else { Err(page.to_string()) }
        })
        .await;
        streams.open().await;
    }
    let seen = load.finish().await;
    assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    assert_eq!(streams.finish().await, 20);
    cluster.assert_consistent().await;
}
