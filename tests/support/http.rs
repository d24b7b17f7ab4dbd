//! One HTTP request on a connection of its own, with any Host header.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Slower than this is a failure (the limit of the fault tables).
pub const LIMIT: Duration = Duration::from_secs(5);

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// A request.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// Method.
    pub method: Method,
    /// Host header.
    pub host: &'a str,
    /// Path with query.
    pub path: &'a str,
    /// API key.
    pub key: Option<&'a str>,
    /// JSON body.
    pub body: Option<&'a Value>,
    /// What a repetition of the same wish has in common with it: `Idempotency-Key`.
    pub wish: Option<&'a str>,
}

impl<'a> Ask<'a> {
    /// A GET for a host.
    #[must_use]
    pub const fn get(host: &'a str, path: &'a str) -> Self {
        Self { method: Method::GET, host, path, key: None, body: None, wish: None }
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Errors
    /// What went wrong, as text.
    pub async fn send(&self, address: SocketAddr) -> Result<Answer, String> {
        let sent = tokio::time::timeout(LIMIT, self.send_unbounded(address));
        sent.await.map_err(|_| format!("no answer within {LIMIT:?}"))?
    }

    async fn send_unbounded(&self, address: SocketAddr) -> Result<Answer, String> {
        let stream = TcpStream::connect(address).await.map_err(|e| format!("connect: {e}"))?;
        self.send_over(stream).await
    }

    /// Sends it over a connection that is open, and reads the whole answer.
    ///
    /// # Errors
    /// What went wrong, as text.
    pub async fn send_over<S>(&self, stream: S) -> Result<Answer, String>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|e| e.to_string())?;
        let driver = tokio::task::JoinSet::from_iter([async move { connection.await.is_ok() }]);
        let mut request = Request::builder().method(&self.method).uri(self.path);
        request = request.header(HOST, self.host);
        if let Some(key) = self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        if let Some(wish) = self.wish {
            request = request.header("idempotency-key", wish);
        }
        let body = self.body.map(|body| Bytes::from(body.to_string()));
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request =
            request.body(Full::new(body.unwrap_or_default())).map_err(|e| e.to_string())?;
        let answer = sender.send_request(request).await.map_err(|e| format!("send: {e:?}"))?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|e| format!("body: {e:?}"))?.to_bytes();
        drop(driver);
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}
