use std::collections::VecDeque;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Answers one connection after the other with the given heads, and counts them.
async fn server(answers: &[&str]) -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    let mut answers: VecDeque<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
    zeitwork_runtime::Lifecycle::new().spawn("server", async move {
        while let Some(answer) = answers.pop_front() {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut head = vec![0; 4096];
            let _ = stream.read(&mut head).await;
            counted.fetch_add(1, Ordering::SeqCst);
            let text =
                format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    (port, count)
}

fn client() -> Client {
    Client::builder("test").build().unwrap()
}

#[tokio::test]
async fn an_idempotent_request_is_repeated_until_it_works() {
    let (port, count) = server(&["503 Away", "502 Bad", "200 OK"]).await;
    let client = client();
    let url = format!("http://127.0.0.1:{port}/");
    let answer = client.send(client.get(url)).await.unwrap();
    assert_eq!((answer.status().as_u16(), count.load(Ordering::SeqCst)), (200, 3));
}

#[tokio::test]
async fn a_post_is_sent_once() {
    let (port, count) = server(&["503 Away", "200 OK"]).await;
    let client = client();
    let url = format!("http://127.0.0.1:{port}/");
    let answer = client.send(client.post(url)).await.unwrap();
    assert_eq!((answer.status().as_u16(), count.load(Ordering::SeqCst)), (503, 1));
}

#[tokio::test]
async fn without_budget_nothing_is_repeated() {
    let (port, count) = server(&["503 Away", "200 OK"]).await;
    let client = client();
    while client.may_retry() {}
    let url = format!("http://127.0.0.1:{port}/");
    let answer = client.send(client.get(url)).await.unwrap();
    assert_eq!((answer.status().as_u16(), count.load(Ordering::SeqCst)), (503, 1));
}

#[tokio::test]
async fn redirects_are_answers_unless_asked_for() {
    let (port, _) = server(&["302 Found\r\nlocation: /next"]).await;
    let client = client();
    let answer = client.send(client.get(format!("http://127.0.0.1:{port}/"))).await.unwrap();
    assert_eq!(answer.status(), 302);
}

#[tokio::test]
async fn a_redirect_into_a_private_network_is_refused() {
    for target in ["http://169.254.169.254/latest", "https://[::1]/", "https://localhost/"] {
        let (port, _) = server(&[&format!("302 Found\r\nlocation: {target}")]).await;
        let listed = format!("127.0.0.1:{port}").parse().unwrap();
        let guard = Guard::new(vec![], vec![listed]);
        let client = Client::builder("test").guard(guard).redirects(3).build().unwrap();
        let url = format!("http://127.0.0.1:{port}/");
        let error = client.send(client.get(url)).await.unwrap_err();
        assert!(matches!(error, OutboundError::Refused(_)), "{target}: {error:?}");
    }
}

#[tokio::test]
async fn a_guarded_client_refuses_at_the_url_and_at_the_connection() {
    let client = Client::builder("test").guard(Guard::default()).build().unwrap();
    for url in ["http://example.com/", "https://127.0.0.1/", "https://localhost/"] {
        let error = client.send(client.get(url)).await.unwrap_err();
        assert!(matches!(error, OutboundError::Refused(_)), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_the_url_is_not_shown() {
    let (port, _) = server(&[]).await;
    let client = Client::builder("test").attempts(1).build().unwrap();
    let url = format!("http://127.0.0.1:{port}/?token=secret");
    let error = client.send(client.get(url)).await.unwrap_err();
    assert!(matches!(error, OutboundError::Unreachable { .. }), "{error:?}");
    assert!(!zeitwork_runtime::lifecycle::chain(&error).contains("secret"));
}
