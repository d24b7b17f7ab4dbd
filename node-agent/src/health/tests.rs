use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use zeitwork_model::environment::HealthCheck;
use zeitwork_model::reason::Reason;

use super::check::check;
use super::diagnose::explain;
use super::{Judge, pause};

fn listening(addresses: &[&str]) -> Vec<SocketAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

#[test]
fn the_cause_of_a_refused_connection_is_named() {
    let cases = [
        (&["127.0.0.1:8080"][..], "listens_on_loopback"),
        (&["[::1]:8080"][..], "listens_on_loopback"),
        (&["127.0.0.1:3000"][..], "listens_elsewhere"),
        (&["0.0.0.0:3000", "0.0.0.0:3001"][..], "listens_elsewhere"),
        (&[][..], "nothing_listens"),
        (&["127.0.0.1:8080", "0.0.0.0:8080"][..], "nothing_listens"),
    ];
    for (addresses, code) in cases {
        assert_eq!(explain(&listening(addresses), 8080).code, code, "{addresses:?}");
    }
    let text = explain(&listening(&["0.0.0.0:3000"]), 8080).text;
    assert_eq!(text, "nothing listens on port 8080 (it listens on 3000)");
}

#[test]
fn one_success_makes_healthy_and_three_failures_unhealthy() {
    let failure = || Err(Reason::new("bad_status", "answers 500 on /"));
    let mut judge = Judge::new(false);
    assert_eq!(judge.after(failure()), Some(failure()));
    assert_eq!(judge.after(failure()), None, "the same again is no news");
    assert_eq!(judge.after(Ok(())), Some(Ok(())));
    assert_eq!(judge.after(failure()), None);
    assert_eq!(judge.after(Ok(())), None, "a success in between starts the count anew");
    assert_eq!(judge.after(failure()), None);
    assert_eq!(judge.after(failure()), None);
    assert_eq!(judge.after(failure()), Some(failure()));
    assert!(!judge.is_healthy());
}

#[test]
fn a_check_comes_quickly_at_first_and_at_the_set_interval_once_healthy() {
    let cases = [
        // Since the start, healthy, set interval; the pause.
        (0, false, 5_000, 20),
        (999, false, 5_000, 20),
        (1_000, false, 5_000, 100),
        (60_000, false, 5_000, 100),
        (60_000, false, 50, 100),
        (0, true, 5_000, 5_000),
        (999, true, 250, 250),
        (60_000, true, 5_000, 5_000),
        // Less would be a load, not a check.
        (60_000, true, 0, 100),
        (60_000, true, 99, 100),
        (60_000, true, u32::MAX, u64::from(u32::MAX)),
    ];
    for (elapsed, healthy, interval_ms, wanted) in cases {
        let check = HealthCheck { interval_ms, ..HealthCheck::default() };
        let pause = pause(&Judge::new(healthy), Duration::from_millis(elapsed), &check);
        let case = format!("{elapsed} ms after the start, healthy: {healthy}, {interval_ms} ms");
        assert_eq!(pause, Duration::from_millis(wanted), "{case}");
    }
}

#[test]
fn an_instance_that_is_no_longer_healthy_is_checked_often_again() {
    let mut judge = Judge::new(true);
    let check = HealthCheck::default();
    let late = Duration::from_mins(1);
    for _ in 1..super::THRESHOLD {
        judge.after(Err(Reason::new("bad_status", "answers 500 on /")));
        assert_eq!(pause(&judge, late, &check), Duration::from_secs(5));
    }
    judge.after(Err(Reason::new("bad_status", "answers 500 on /")));
    assert_eq!(pause(&judge, late, &check), Duration::from_millis(100));
}

async fn answering(answer: &'static str) -> std::net::SocketAddrV4 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else { unreachable!() };
    #[allow(clippy::disallowed_methods, reason = "a test's server ends with the test")]
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn an_http_check_passes_on_any_answer_below_400() {
    let http = HealthCheck { path: Some("/up".into()), timeout_ms: 300, ..HealthCheck::default() };
    for (answer, outcome) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Ok(())),
        ("HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n", Ok(())),
        ("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", Err("bad_status")),
        ("SSH-2.0-OpenSSH_9.2\r\n", Err("no_http")),
    ] {
        let address = answering(answer).await;
        let outcome_now = check(address, &http).await.map_err(|reason| reason.code);
        assert_eq!(outcome_now, outcome.map_err(str::to_owned), "{answer:?}");
    }
}

#[tokio::test]
async fn a_tcp_check_needs_a_listener_and_no_answer() {
    let tcp = HealthCheck::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else { unreachable!() };
    assert_eq!(check(address, &tcp).await, Ok(()));
    drop(listener);
    assert_eq!(check(address, &tcp).await.unwrap_err().code, "nothing_listens");
}
