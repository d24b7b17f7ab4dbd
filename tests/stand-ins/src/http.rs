//! One HTTP request over one connection: all that a stand-in needs as a client.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::world_clock;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection.
    #[error("no connection")]
    Connect(#[from] std::io::Error),
    /// The connection broke, or the other side does not speak HTTP.
    #[error("no answer")]
    Answer(#[from] hyper::Error),
}

/// Sends the request over a fresh connection and reads the whole answer.
pub(crate) async fn send<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, HttpError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = world_clock::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    driver.abort();
    Ok(Response::from_parts(head, body))
}
