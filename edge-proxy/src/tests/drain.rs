//! Instances leave, edges stop, tables change: nothing in flight is lost, and the count is exact.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::limits::Limits;
use crate::testing::{Client, Edge, HOST, Instance, route, until};

/// Answers when it is let.
async fn held(gate: Arc<tokio::sync::Semaphore>) -> Instance {
    Instance::raw(move |mut client| {
        let gate = gate.clone();
        async move {
            loop {
                client.answer().await?;
                client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhe").await;
                gate.acquire().await.unwrap().forget();
                client.send("ld").await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_removed_instance_finishes_and_gets_nothing_new() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (old, new) = (held(gate.clone()).await, Instance::echo().await);
    let mut edge = Edge::before(vec![old.endpoint]);
    let mut client = edge.open().await;
    client.send(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    client.head().await.unwrap();
    edge.change(Some(route(vec![new.endpoint])));
    for _ in 0..10 {
        assert_eq!(edge.get("/").await.status(), 200);
    }
    assert_eq!(edge.in_flight(old.endpoint), 1, "the body is not over");
    assert_eq!(edge.table.draining(), 1);
    gate.add_permits(1);
    assert_eq!(client.bytes(4).await.unwrap(), b"held");
    until("none in flight", || edge.in_flight(old.endpoint) == 0).await;
    until("its connections are closed", || old.open() == 0).await;
    assert_eq!(old.connections(), 1);
    // Back again, as in a rollback: the same instance serves.
    edge.change(Some(route(vec![old.endpoint])));
    gate.add_permits(1);
    assert_eq!(edge.get("/").await.text(), "held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_changes_under_load_without_a_failed_request() {
    let instances = [Instance::echo().await, Instance::echo().await, Instance::echo().await];
    let endpoints = instances.each_ref().map(|instance| instance.endpoint);
    let mut edge = Edge::before(vec![endpoints[0]]);
    let over = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicU32::new(0));
    let address = edge.address();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (over, served) = (over.clone(), served.clone());
        clients.spawn(async move {
            let mut client = Client::open(address).await;
            while !over.load(Ordering::Relaxed) {
                client.send(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
                assert_eq!(client.answer().await.unwrap().status(), 200);
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for round in 0..300usize {
        let (gone, next) = (endpoints[round % 3], endpoints[(round + 1) % 3]);
        edge.change(Some(route(vec![next])));
        // Once a report says "none", no request may reach it any more.
        until("it is drained", || edge.in_flight(gone) == 0).await;
        let seen = instances[round % 3].requests();
        if round % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        assert_eq!(instances[round % 3].requests(), seen, "round {round}");
    }
    over.store(true, Ordering::Relaxed);
    clients.join_all().await;
    assert!(served.load(Ordering::Relaxed) > 300);
}

#[tokio::test]
async fn a_stopped_edge_finishes_what_it_began() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let instance = held(gate.clone()).await;
    // Long enough for the last request of a connection that is idle at the stop.
    let limits = Limits { linger: Duration::from_secs(3), ..Limits::default() };
    let mut edge = Edge::with(route(vec![instance.endpoint]), limits);
    let mut busy = edge.open().await;
    busy.send(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    busy.head().await.unwrap();
    let mut idle = edge.open().await;
    idle.send("GET / HTTP/1.1\r\nHost: unknown\r\n\r\n").await;
    idle.answer().await.unwrap();
    edge.server.stop();
    // An idle connection still gets one answer, which says that it is the last.
    idle.send("GET / HTTP/1.1\r\nHost: unknown\r\n\r\n").await;
    let last = idle.answer().await.unwrap();
    assert_eq!(last.header("connection").unwrap(), "close");
    until("no new connection", || std::net::TcpStream::connect(edge.address()).is_err()).await;
    gate.add_permits(1);
    assert_eq!(busy.bytes(4).await.unwrap(), b"held");
    edge.server.ended().await.unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let instance = held(Arc::new(tokio::sync::Semaphore::new(0))).await;
    let limits = Limits {
        linger: Duration::from_millis(20),
        drain: Duration::from_millis(200),
        ..Limits::default()
    };
    let mut edge = Edge::with(route(vec![instance.endpoint]), limits);
    let mut busy = edge.open().await;
    busy.send(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    busy.head().await.unwrap();
    let began = Instant::now();
    edge.server.stop();
    edge.server.ended().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
}
