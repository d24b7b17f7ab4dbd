//! The few calls to Docker Engine that a build needs, by HTTP/1 over its socket. The engine's
//! client library cannot set a build id and wants a gRPC session, which a build does not need.
//!
//! No version stands in the paths: the oldest that 20.10 knows (1.41) is refused by engines from
//! 29 on. What is asked for and read is the same in all of them.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;

/// Small calls answer at once or not at all.
const SMALL_CALL: Duration = Duration::from_secs(10);
/// Removing gigabytes of small files takes a while.
const PRUNE: Duration = Duration::from_mins(2);
/// Bytes of a small answer at most.
const SMALL_ANSWER: usize = 4 * 1024 * 1024;

/// What is sent with a request.
pub type Body = BoxBody<Bytes, io::Error>;

/// Why the engine did not do it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It does not answer, or the connection broke.
    #[error("Docker Engine is away: {0}")]
    Away(String),
    /// It answers that it will not.
    #[error("Docker Engine answers {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its message.
        message: String,
    },
    /// Its answer is not what its documentation says.
    #[error("Docker Engine gave an answer that cannot be read: {0}")]
    Unreadable(String),
}

/// The engine behind a socket.
#[derive(Debug, Clone)]
pub struct Engine {
    socket: PathBuf,
}

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `sha256:…`
    pub id: String,
    /// Bytes.
    pub size: u64,
    /// `linux/amd64`
    pub platform: String,
    /// TCP ports, ascending.
    pub exposed_ports: Vec<u16>,
    /// Instructions that are carried out in a build on it (`ONBUILD`).
    pub triggers: Vec<String>,
}

/// Where the engine keeps things, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Info {
    /// Its own directory, `/var/lib/docker` as a rule.
    pub docker_root_dir: String,
    /// `1` or `2`.
    pub cgroup_version: String,
}

impl Engine {
    /// The engine behind this socket.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Sends one request and hands its answer to `read`. Dropping the future closes the
    /// connection, which for a build means that it is cancelled.
    ///
    /// # Errors
    /// [`EngineError`], also for an answer that is no success.
    pub async fn exchange<T>(
        &self,
        request: Request<Body>,
        read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(away)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(away)?;
        let driver = async {
            // Its end is seen by the exchange, as the end of the answer.
            let _ = connection.await;
            std::future::pending::<()>().await;
        };
        let exchange = async {
            let response = sender.send_request(request).await.map_err(away)?;
            if response.status().is_success() {
                return read(response).await;
            }
            let status = response.status();
            let body = collect(response).await.unwrap_or_default();
            Err(EngineError::Refused { status: status.as_u16(), message: message(&body) })
        };
        tokio::select! {
            done = exchange => done,
            () = driver => Err(EngineError::Away("connection ended".to_owned())),
        }
    }

    /// Ends a build that may still run.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn cancel_build(&self, build_id: &str) -> Result<(), EngineError> {
        let query = query(&[("id", build_id)]);
        self.small(Method::POST, &format!("/build/cancel?{query}")).await.map(drop)
    }

    /// Where it keeps things, and how.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn info(&self) -> Result<Info, EngineError> {
        parse(&self.small(Method::GET, "/info").await?)
    }

    /// One image; none if it is not there.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn image(&self, name: &str) -> Result<Option<Image>, EngineError> {
        match self.small(Method::GET, &format!("/images/{}/json", path_text(name))).await {
            Ok(body) => parse::<Inspected>(&body).map(|found| Some(found.into())),
            Err(EngineError::Refused { status, .. }) if status == StatusCode::NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether an image is there, after asking its registry for at most this long.
    ///
    /// # Errors
    /// [`EngineError`] of the engine; a registry that does not answer is no error.
    pub async fn has_or_pulls(&self, name: &str, limit: Duration) -> Result<bool, EngineError> {
        if self.image(name).await?.is_some() {
            return Ok(true);
        }
        // What counts is the image.
        let _ = tokio::time::timeout(limit, self.pull(name)).await;
        Ok(self.image(name).await?.is_some())
    }

    /// Pulls an image. Dropping the future ends it.
    ///
    /// # Errors
    /// [`EngineError`]; a registry that says no is [`EngineError::Refused`] with its words.
    pub async fn pull(&self, name: &str) -> Result<(), EngineError> {
        let (image, tag) = name_and_tag(name);
        let query = query(&[("fromImage", image), ("tag", tag)]);
        let request = request(Method::POST, &format!("/images/create?{query}"), empty())?;
        self.exchange(request, end_of_pull).await
    }

    /// Removes an image by its name; its layers stay while another image has them. One that is
    /// gone already is no error.
    ///
    /// # Errors
    /// [`EngineError`]; a container needs it.
    pub async fn remove_image(&self, name: &str) -> Result<(), EngineError> {
        match self.small(Method::DELETE, &format!("/images/{}", path_text(name))).await {
            Err(EngineError::Refused { status, .. }) if status == StatusCode::NOT_FOUND => Ok(()),
            other => other.map(drop),
        }
    }

    /// Removes build cache that no build uses and that none has used for so many hours; the bytes
    /// that became free.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn prune_cache(&self, hours: u32) -> Result<u64, EngineError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Pruned {
            #[serde(default)]
            space_reclaimed: u64,
        }
        // A filter that an engine does not know makes it remove everything: this one is old.
        let filters =
            if hours == 0 { "{}".to_owned() } else { format!("{{\"until\":[\"{hours}h\"]}}") };
        let query = query(&[("all", "1"), ("filters", &filters)]);
        let request = request(Method::POST, &format!("/build/prune?{query}"), empty())?;
        let answer = tokio::time::timeout(PRUNE, self.exchange(request, collect)).await;
        let answer = answer.map_err(|_| EngineError::Away("no answer in time".to_owned()))??;
        parse::<Pruned>(&answer).map(|pruned| pruned.space_reclaimed)
    }

    async fn small(&self, method: Method, path: &str) -> Result<Bytes, EngineError> {
        let request = request(method, path, empty())?;
        tokio::time::timeout(SMALL_CALL, self.exchange(request, collect))
            .await
            .map_err(|_| EngineError::Away("no answer in 10 s".to_owned()))?
    }
}

/// An image's name in its parts; a digest is a tag to the engine.
fn name_and_tag(name: &str) -> (&str, &str) {
    if let Some(parts) = name.split_once('@') {
        return parts;
    }
    match name.rsplit_once(':') {
        Some((image, tag)) if !tag.contains('/') => (image, tag),
        _ => (name, "latest"),
    }
}

/// Follows a pull, whose answer is a stream of messages, one a line; the last may be an error.
async fn end_of_pull(response: Response<Incoming>) -> Result<(), EngineError> {
    #[derive(Deserialize)]
    struct Message {
        error: String,
    }
    let mut body = response.into_body().into_data_stream();
    let mut last = Vec::new();
    while let Some(piece) = body.next().await {
        last.extend_from_slice(&piece.map_err(away)?);
        let end = last.trim_ascii_end().iter().rposition(|&byte| byte == b'\n');
        last.drain(..end.map_or(0, |end| end + 1));
        if last.len() > SMALL_ANSWER {
            return Err(EngineError::Unreadable("a message without end".to_owned()));
        }
    }
    match serde_json::from_slice::<Message>(&last) {
        Ok(Message { error }) => Err(EngineError::Refused { status: 200, message: error }),
        Err(_) => Ok(()),
    }
}

/// A request to the engine.
///
/// # Errors
/// [`EngineError::Unreadable`] for a path that is none.
pub fn request(method: Method, path: &str, body: Body) -> Result<Request<Body>, EngineError> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "docker")
        .header("content-type", "application/x-tar")
        .body(body)
        .map_err(|error| EngineError::Unreadable(error.to_string()))
}

/// A query string.
#[must_use]
pub fn query(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// An image name inside a path: only characters that names have.
fn path_text(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || "._-:/@".contains(*c)).collect()
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, EngineError> {
    http_body_util::Limited::new(response.into_body(), SMALL_ANSWER)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| EngineError::Unreadable(error.to_string()))
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, EngineError> {
    serde_json::from_slice(body).map_err(|error| EngineError::Unreadable(error.to_string()))
}

/// What an error says: `{"message": "…"}`, or its text.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        message: String,
    }
    serde_json::from_slice::<Answer>(body)
        .map_or_else(|_| String::from_utf8_lossy(body).into_owned(), |answer| answer.message)
}

fn away(error: impl std::error::Error) -> EngineError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    EngineError::Away(text)
}

/// What of `GET /images/{name}/json` is read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Inspected {
    id: String,
    size: u64,
    os: String,
    architecture: String,
    variant: String,
    config: Option<InspectedConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedConfig {
    exposed_ports: Option<serde_json::Map<String, serde_json::Value>>,
    on_build: Option<Vec<String>>,
}

impl From<Inspected> for Image {
    fn from(found: Inspected) -> Self {
        let mut platform = format!("{}/{}", found.os, found.architecture);
        if !found.variant.is_empty() {
            platform = format!("{platform}/{}", found.variant);
        }
        let config = found.config.unwrap_or_default();
        let ports = config.exposed_ports.unwrap_or_default();
        let mut exposed_ports: Vec<u16> = ports
            .keys()
            .filter_map(|port| port.strip_suffix("/tcp").unwrap_or(port).parse().ok())
            .collect();
        exposed_ports.sort_unstable();
        let triggers = config.on_build.unwrap_or_default();
        Self { id: found.id, size: found.size, platform, exposed_ports, triggers }
    }
}
