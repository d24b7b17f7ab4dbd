//! One check.

use std::net::SocketAddrV4;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::header::{HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use zeitwork_model::environment::HealthCheck;
use zeitwork_model::reason::Reason;

/// Code of a check that was refused at once; the caller looks for the cause.
pub const REFUSED: &str = "nothing_listens";

/// Passes, or why not.
///
/// # Errors
/// The reason, in words for people.
pub async fn check(address: SocketAddrV4, check: &HealthCheck) -> Result<(), Reason> {
    let limit = Duration::from_millis(u64::from(check.timeout_ms.max(1)));
    if let Ok(outcome) = tokio::time::timeout(limit, attempt(address, check.path.as_deref())).await
    {
        outcome
    } else {
        let port = address.port();
        let asked = check.path.as_deref().map_or(String::new(), |path| format!(" on {path}"));
        let limit = check.timeout_ms;
        let text = format!("does not answer{asked} at port {port} within {limit} ms");
        Err(Reason::new("no_answer", text))
    }
}

async fn attempt(address: SocketAddrV4, path: Option<&str>) -> Result<(), Reason> {
    let port = address.port();
    let stream = TcpStream::connect(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => {
            Reason::new(REFUSED, format!("nothing listens on port {port}"))
        }
        _ => Reason::new("unreachable", format!("port {port} cannot be reached: {error}")),
    })?;
    let Some(path) = path else { return Ok(()) };
    let status = ask(stream, path).await.map_err(|error| {
        let text = format!("answers no HTTP on {path} at port {port}: {error}");
        Reason::new("no_http", text)
    })?;
    match status {
        200..=399 => Ok(()),
        other => Err(Reason::new("bad_status", format!("answers {other} on {path}"))),
    }
}

/// The status of one GET. No redirect is followed: it is an answer like any other.
async fn ask(
    stream: TcpStream,
    path: &str,
) -> Result<u16, Box<dyn std::error::Error + Send + Sync>> {
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    let request = Request::get(path)
        // Frameworks refuse hosts that they do not know; the loopback name is what they all do.
        .header(HOST, "localhost")
        .header(USER_AGENT, "zeitwork-health")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    tokio::select! {
        answer = &mut answer => Ok(answer?.status().as_u16()),
        ended = &mut connection => {
            ended?;
            Ok(answer.await?.status().as_u16())
        }
    }
}
