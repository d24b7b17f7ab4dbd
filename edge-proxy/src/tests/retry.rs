//! Instances that are gone, or go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;
use zeitwork_model::route::Endpoint;

use crate::testing::{Client, Edge, HOST, Instance, at, until};

/// An address where nobody listens.
async fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_dead_instance_beside_a_living_one_costs_no_request() {
    let living = Instance::echo().await;
    let edge = Edge::before(vec![at(nobody().await), living.endpoint, at(nobody().await)]);
    for number in 0..50 {
        let method = if number % 2 == 0 { "GET" } else { "POST" };
        let mut client = edge.open().await;
        client
            .send(&format!("{method} / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nhi"))
            .await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.text().ends_with("\n\nhi"), "{}", answer.text());
    }
    let attempts = edge.sum(|counters| counters.retries.get());
    assert!(attempts < 20, "the dead are skipped for a while: {attempts}");
    assert!(edge.sum(|counters| counters.ejections.get()) >= 1);
}

#[tokio::test]
async fn when_all_are_dead_it_says_so() {
    let edge = Edge::before(vec![at(nobody().await), at(nobody().await)]);
    let answer = edge.get("/").await;
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.header("zeitwork-answer").unwrap(), "connect_failed");
}

#[tokio::test]
async fn a_pooled_connection_that_dies_costs_no_request() {
    // Answers one request for each connection, then closes without having said so.
    let instance = Instance::raw(|mut client| async move {
        let request = client.answer().await?;
        let length = request.body.len();
        client.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
        client.stream.set_zero_linger()?;
        tokio::io::AsyncWriteExt::write_all(&mut client.stream, &request.body).await
    })
    .await;
    let edge = Edge::before(vec![instance.endpoint]);
    let mut client = edge.open().await;
    for _ in 0..50 {
        client.send(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
        assert_eq!(client.answer().await.unwrap().status(), 200);
    }
}

/// Closes each connection after the request without an answer; counts requests.
async fn killer(count: Arc<AtomicUsize>) -> Instance {
    Instance::raw(move |mut client| {
        let count = count.clone();
        async move {
            client.answer().await?;
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    })
    .await
}

#[tokio::test]
async fn only_what_may_be_repeated_is_repeated() {
    let asked = Arc::new(AtomicUsize::new(0));
    let killer = killer(asked.clone()).await;
    let edge = Edge::before(vec![killer.endpoint]);
    for (head, body) in
        [("POST / HTTP/1.1", "hi"), ("POST / HTTP/1.1", ""), ("PUT / HTTP/1.1", "hi")]
    {
        asked.store(0, Ordering::SeqCst);
        let length = body.len();
        let answer = edge
            .ask(&format!("{head}\r\nHost: {HOST}\r\nContent-Length: {length}\r\n\r\n{body}\r\n"))
            .await;
        assert_eq!(answer.status(), 502);
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{head} {body:?}");
    }
    let living = Instance::echo().await;
    let edge = Edge::before(vec![killer.endpoint, living.endpoint]);
    for _ in 0..30 {
        assert_eq!(edge.get("/").await.status(), 200);
    }
}

#[tokio::test]
async fn repeats_end_when_everything_fails() {
    const REQUESTS: usize = 200;
    let asked = Arc::new(AtomicUsize::new(0));
    let (one, other) = (killer(asked.clone()).await, killer(asked.clone()).await);
    let edge = Edge::before(vec![one.endpoint, other.endpoint]);
    for _ in 0..REQUESTS {
        assert_eq!(edge.get("/").await.status(), 502);
    }
    let asked = asked.load(Ordering::SeqCst);
    // Two workers, each with twenty in its budget at the start and a fifth of its requests.
    assert!(asked <= REQUESTS + 40 + REQUESTS / 5, "{asked}");
}

#[tokio::test]
async fn an_address_with_another_instance_gets_no_old_connection() {
    let instance = Instance::echo().await;
    let mut edge = Edge::before(vec![instance.endpoint]);
    for _ in 0..4 {
        assert_eq!(edge.get("/").await.status(), 200);
    }
    let before = instance.connections();
    assert!(before >= 1);
    let next = at(instance.endpoint.address);
    edge.change(Some(crate::testing::route(vec![next])));
    until("idle connections close at once", || instance.open() == 0).await;
    assert_eq!(edge.get("/").await.status(), 200);
    assert_eq!(instance.connections(), before + 1);
}

/// An instance whose host goes from the network: connections that are open fall silent, and new
/// ones are never made, as the kernel drops what does not fit into a full queue.
struct Hole {
    endpoint: Endpoint,
    dark: tokio::sync::watch::Sender<bool>,
    waiting: Vec<std::net::TcpStream>,
    _task: tokio::task::JoinSet<()>,
}

impl Hole {
    fn open() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let endpoint = at(listener.local_addr().unwrap());
        let (dark, is_dark) = tokio::sync::watch::channel(false);
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            let mut darkness = is_dark.clone();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let client = Client::of(accepted.unwrap().0);
                        connections.spawn(Self::serve(client, is_dark.clone()));
                    }
                    _ = darkness.wait_for(|dark| *dark) => break,
                }
            }
            std::future::pending::<()>().await;
        });
        Self { endpoint, dark, waiting: Vec::new(), _task: task }
    }

    async fn serve(mut client: Client, is_dark: tokio::sync::watch::Receiver<bool>) {
        while client.answer().await.is_ok() {
            if *is_dark.borrow() {
                std::future::pending::<()>().await;
            }
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    }

    /// Goes dark: from now on nobody gets a connection.
    fn darken(&mut self) {
        self.dark.send_replace(true);
        let short = std::time::Duration::from_millis(200);
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&self.endpoint.address, short) {
            self.waiting.push(stream);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_goes_dark_costs_no_request_that_may_be_repeated() {
    let (mut hole, living) = (Hole::open(), Instance::echo().await);
    let edge = Arc::new(Edge::before(vec![hole.endpoint, living.endpoint]));
    for _ in 0..40 {
        assert_eq!(edge.get("/").await.status(), 200);
    }
    hole.darken();
    let began = std::time::Instant::now();
    let mut visitors = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let edge = edge.clone();
        visitors.spawn(async move { edge.get("/").await.status() });
    }
    assert_eq!(visitors.join_all().await, [200; 8]);
    // Without a second look it would be the kernel's 30 s.
    assert!(began.elapsed() < std::time::Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(edge.sum(|counters| counters.ejections.get()) >= 1);
}

#[tokio::test]
async fn a_slow_instance_is_waited_for_and_asked_once() {
    let slow = Instance::raw(|mut client| async move {
        client.answer().await?;
        tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        Ok(())
    })
    .await;
    let edge = Edge::before(vec![slow.endpoint]);
    assert_eq!(edge.get("/").await.status(), 200);
    assert_eq!(slow.requests(), 1);
    assert_eq!(edge.sum(|counters| counters.retries.get()), 0);
}
