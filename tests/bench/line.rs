//! A connection that is kept for many requests: what is measured is the answer, not the dialling.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Longest wait for one answer.
const LIMIT: Duration = Duration::from_secs(10);

/// One kept connection, dialled again where it has ended.
pub struct Line {
    address: SocketAddr,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    /// Drives the connection; dropped with it.
    _driver: JoinSet<bool>,
}

impl Line {
    /// A line to this address; dialled with the first request.
    pub const fn to(address: SocketAddr) -> Self {
        Self { address, open: None }
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), String> {
        let answer = tokio::time::timeout(LIMIT, self.exchange(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")));
        if answer.is_err() {
            self.open = None;
        }
        answer
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), String> {
        if self.open.as_ref().is_none_or(|open| open.sender.is_closed()) {
            self.open = Some(self.dial().await?);
        }
        let open = self.open.as_mut().unwrap();
        open.sender.ready().await.map_err(|e| e.to_string())?;
        let answer = open.sender.send_request(request).await.map_err(|e| e.to_string())?;
        let (head, body) = answer.into_parts();
        Ok((head.status, body.collect().await.map_err(|e| e.to_string())?.to_bytes()))
    }

    async fn dial(&self) -> Result<Open, String> {
        let stream = TcpStream::connect(self.address).await.map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        Ok(Open { sender, _driver: JoinSet::from_iter([async { connection.await.is_ok() }]) })
    }

    /// Asks for a host's page again and again until it is as wanted; returns when it was.
    pub async fn until(
        &mut self,
        host: &str,
        limit: Duration,
        pause: Duration,
        wanted: impl Fn(StatusCode, &[u8]) -> bool,
    ) -> Instant {
        let deadline = Instant::now() + limit;
        loop {
            let request = Request::get("/").header("host", host).body(Full::default()).unwrap();
            let answer = self.send(request).await;
            let now = Instant::now();
            if answer.as_ref().is_ok_and(|(status, body)| wanted(*status, body)) {
                return now;
            }
            assert!(now < deadline, "{host}: not as wanted within {limit:?}; last: {answer:?}");
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Waits for the page that shows a commit, as a visitor who asks every two milliseconds.
    pub async fn until_commit(&mut self, host: &str, commit: &str) -> Instant {
        const PAUSE: Duration = Duration::from_millis(2);
        let wanted = format!("commit={commit}");
        let shows = |status: StatusCode, body: &[u8]| {
            status.is_success() && String::from_utf8_lossy(body).contains(&wanted)
        };
        self.until(host, zeitwork_tests::user::LIVE_LIMIT, PAUSE, shows).await
    }
}
