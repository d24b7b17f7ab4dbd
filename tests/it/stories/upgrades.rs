//! What is open stays open while a push replaces what serves.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeitwork_tests::Cluster;
use zeitwork_tests::http::LIMIT;
use zeitwork_tests::load::Load;
use zeitwork_tests::user::LIVE_LIMIT;

use super::{app, live_project};

/// A connection that has left HTTP behind; the other side echoes.
struct Upgraded(TcpStream);

impl Upgraded {
    async fn open(edge: SocketAddr, host: &str) -> Self {
        let mut stream = TcpStream::connect(edge).await.unwrap();
        let head = format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let byte = timeout(LIMIT, stream.read_u8()).await.expect("an answer in time");
            answer.push(byte.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        Self(stream)
    }

    async fn echoes(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        let mut echoed = vec![0; text.len()];
        let read = self.0.read_exact(&mut echoed);
        timeout(LIMIT, read).await.expect("an echo in time").unwrap();
        assert_eq!(echoed, text.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_connection_survives_a_push_under_load() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, _) = live_project(&cluster, "acme/upgrade").await;
    let first = repository.commit_directory(&app("upgrade"), "Echo").await.unwrap();
    cluster.push(&repository).await;
    cluster.page_with(&project.host, &format!("commit={first}"), LIVE_LIMIT).await;
    owner.live(&project, &first).await;
    // The application takes one connection after the other.
    let load = Load::start(&[cluster.edge], &project.host, 1);
    let mut open = Upgraded::open(cluster.edge, &project.host).await;
    open.echoes("before\n").await;

    let second = repository.commit(&[("version", "2\n")], "Echo more").await.unwrap();
    cluster.push(&repository).await;
    open.echoes("while it builds\n").await;
    cluster.page_with(&project.host, &format!("commit={second}"), LIVE_LIMIT).await;
    owner.live(&project, &second).await;
    open.echoes("after the switch\n").await;
    Upgraded::open(cluster.edge, &project.host).await.echoes("of the new one\n").await;
    open.echoes("and still\n").await;
    let seen = load.finish().await;
    assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
}
