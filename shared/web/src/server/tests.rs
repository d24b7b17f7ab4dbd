use std::sync::Arc;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use super::*;

const LONG: Duration = Duration::from_secs(30);

async fn exchange(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = vec![0; 4096];
    let length = stream.read(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

fn local() -> Server {
    Server::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap()
}

#[tokio::test]
async fn a_drain_finishes_requests_in_flight_and_closes_idle_connections() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, released) = (entered.clone(), leave.clone());
    let slow = move || async move {
        inside.notify_one();
        released.notified().await;
        "finished"
    };
    let router = Router::new().route("/slow", get(slow)).route("/fast", get(|| async { "fast" }));
    let life = Lifecycle::new();
    let address = local().serve(&router, &life)[0];

    let mut idle = TcpStream::connect(address).await.unwrap();
    assert!(exchange(&mut idle, "/fast").await.ends_with("fast"));
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    entered.notified().await;

    life.stop();
    let mut rest = Vec::new();
    assert_eq!(idle.read_to_end(&mut rest).await.unwrap(), 0, "idle closes at once");
    // It may still stand in the backlog of the closed listener, which resets it.
    assert_eq!(silent.read_to_end(&mut rest).await.unwrap_or(0), 0, "silent closes at once");
    leave.notify_one();
    busy.read_to_end(&mut rest).await.unwrap();
    let answer = String::from_utf8(rest).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("finished"), "{answer}");
    assert_eq!(life.drain(LONG).await, Ok(()));
    assert!(TcpStream::connect(address).await.is_err(), "nothing listens any more");
}

#[tokio::test]
async fn a_request_carries_its_peer() {
    let peer =
        |axum::Extension(peer): axum::Extension<PeerAddress>| async move { peer.0.to_string() };
    let life = Lifecycle::new();
    let address = local().serve(&Router::new().route("/", get(peer)), &life)[0];
    let mut stream = TcpStream::connect(address).await.unwrap();
    let answer = exchange(&mut stream, "/").await;
    assert!(answer.ends_with(&stream.local_addr().unwrap().to_string()), "{answer}");
}

#[tokio::test]
async fn who_sends_nothing_or_half_a_head_is_closed() {
    let settings =
        ServerSettings { header_timeout: Duration::from_millis(50), ..ServerSettings::default() };
    let life = Lifecycle::new();
    let address = local().with(settings).serve(&Router::new(), &life)[0];
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
    let mut rest = Vec::new();
    assert_eq!(silent.read_to_end(&mut rest).await.unwrap(), 0);
    half.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let settings = ServerSettings { connections: 1, ..ServerSettings::default() };
    let life = Lifecycle::new();
    let router = Router::new().route("/", get(|| async { "hello" }));
    let address = local().with(settings).serve(&router, &life)[0];
    let mut first = TcpStream::connect(address).await.unwrap();
    assert!(exchange(&mut first, "/").await.ends_with("hello"));
    let mut second = TcpStream::connect(address).await.unwrap();
    let (answer, ()) = tokio::join!(exchange(&mut second, "/"), async { drop(first) });
    assert!(answer.ends_with("hello"));
}

#[tokio::test]
async fn an_address_in_use_is_named_with_advice() {
    let server = local();
    let taken = server.addresses()[0];
    let error = Server::bind(&[taken]).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("{taken} is in use: stop what listens there or choose another address")
    );
    let error = Server::bind(&["203.0.113.1:0".parse().unwrap()]).unwrap_err();
    assert_eq!(error.to_string(), "203.0.113.1:0 is no address of this host");
    assert!(matches!(Server::bind(&[]), Err(BindError::Nothing)));
}

#[tokio::test]
async fn the_same_port_serves_both_families() {
    let four = Server::bind(&["0.0.0.0:0".parse().unwrap()]).unwrap();
    let port = four.addresses()[0].port();
    match Server::bind(&[SocketAddr::from(([0u16; 8], port))]) {
        Ok(six) => assert_eq!(six.addresses()[0].port(), port),
        // A host without IPv6 says so instead.
        Err(error) => assert!(!matches!(error, BindError::InUse(_)), "{error}"),
    }
}
