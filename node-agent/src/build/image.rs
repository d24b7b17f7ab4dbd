//! Has the engine build an image: sends the context, follows what comes back, and tells how it
//! ended. Not concerned with where the context comes from, nor with limits and deadlines.

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Response};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::context::{Context, ContextError, ContextLimits};
use super::engine::{Engine, EngineError, query, request};
use super::progress::{FailedStep, Progress, decode};
use crate::logs::Stream;

/// Bytes of the context in flight between the disk and the engine: 16 pieces of 64 KiB.
const PIECE: usize = 64 * 1024;
const PIECES: usize = 16;
/// Bytes of one message of the engine at most.
const MAXIMUM_MESSAGE: usize = 32 * 1024 * 1024;

/// What is to be built.
#[derive(Debug)]
pub struct Wanted {
    /// By which it can be cancelled.
    pub build_id: String,
    /// The name that the image gets.
    pub tag: String,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Build arguments.
    pub arguments: BTreeMap<String, String>,
    /// The context.
    pub context: Context,
    /// What is sent as its Dockerfile.
    pub dockerfile: Vec<u8>,
    /// Time of all files, in seconds.
    pub time: u64,
    /// How much the context may hold.
    pub limits: ContextLimits,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The context could not be made.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The engine did not do it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A step failed, or the Dockerfile cannot be followed.
    #[error("{message}")]
    Step {
        /// The step, where it was one.
        step: Option<FailedStep>,
        /// What the engine says.
        message: String,
    },
}

/// Builds an image and returns its id. Dropping the future ends the build.
///
/// # Errors
/// [`ImageError`]
pub async fn make(
    engine: &Engine,
    wanted: Wanted,
    say: &mut (impl FnMut(Stream, &str) + Send),
) -> Result<String, ImageError> {
    let path = path(&wanted);
    let (sender, receiver) = mpsc::channel(PIECES);
    let writer = tokio::task::spawn_blocking(move || write(&wanted, sender));
    let pieces = tokio_stream_of(receiver);
    let request = request(Method::POST, &path, BodyExt::boxed(StreamBody::new(pieces)))?;
    let outcome = engine.exchange(request, async |response| follow(response, say).await).await;
    // What kept the context from being whole explains the engine's complaint about it.
    match writer.await {
        Ok(Err(error)) if !is_reader_gone(&error) => return Err(error.into()),
        _ => {}
    }
    outcome?.into_image()
}

fn tokio_stream_of(
    receiver: mpsc::Receiver<io::Result<Bytes>>,
) -> impl futures::Stream<Item = io::Result<Frame<Bytes>>> {
    futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece.map(Frame::data), receiver))
    })
}

fn is_reader_gone(error: &ContextError) -> bool {
    matches!(error, ContextError::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
}

fn path(wanted: &Wanted) -> String {
    let json = |map: &BTreeMap<String, String>| serde_json::json!(map).to_string();
    let (labels, arguments) = (json(&wanted.labels), json(&wanted.arguments));
    let dockerfile = wanted.context.dockerfile();
    let query = query(&[
        ("version", "2"),
        ("buildid", &wanted.build_id),
        ("t", &wanted.tag),
        ("labels", &labels),
        ("buildargs", &arguments),
        ("dockerfile", &dockerfile),
    ]);
    format!("/build?{query}")
}

/// Writes the context into the request, on a thread that may block.
fn write(wanted: &Wanted, sender: mpsc::Sender<io::Result<Bytes>>) -> Result<(), ContextError> {
    let reader = sender.clone();
    let is_gone = || reader.is_closed();
    let mut pieces = Pieces { sender, piece: BytesMut::with_capacity(PIECE) };
    let (context, content) = (&wanted.context, &wanted.dockerfile);
    let done = context.write(content, wanted.time, wanted.limits, &mut pieces, &is_gone);
    if done.is_err() {
        // An archive cut short must not look like a whole one.
        let _ = pieces.sender.blocking_send(Err(io::Error::other("the context was cut short")));
    }
    done
}

/// Cuts what is written into pieces of the request.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: BytesMut,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE - self.piece.len();
        let taken = bytes.len().min(room);
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, BytesMut::with_capacity(PIECE));
        self.sender
            .blocking_send(Ok(piece.freeze()))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

/// One message of the engine.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    id: String,
    aux: serde_json::Value,
    error: String,
    #[serde(rename = "errorDetail")]
    detail: Option<Detail>,
    stream: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Detail {
    message: String,
}

/// What the messages of a build came to.
#[derive(Debug, Default)]
struct Outcome {
    progress: Progress,
    image: Option<String>,
    error: Option<String>,
}

impl Outcome {
    fn into_image(self) -> Result<String, ImageError> {
        if let Some(message) = self.error {
            return Err(ImageError::Step { step: self.progress.failed().cloned(), message });
        }
        self.image.ok_or_else(|| {
            EngineError::Away("the answer ended before the build did".to_owned()).into()
        })
    }

    fn take(&mut self, line: &[u8], say: &mut impl FnMut(Stream, &str)) {
        let Ok(message) = serde_json::from_slice::<Message>(line) else {
            tracing::warn!(bytes = line.len(), "a message of the engine cannot be read");
            return;
        };
        match message.id.as_str() {
            "moby.buildkit.trace" => {
                let status = message.aux.as_str().and_then(|text| STANDARD.decode(text).ok());
                if let Some(Ok(status)) = status.map(|bytes| decode(&bytes)) {
                    self.progress.take(status, say);
                }
            }
            "moby.image.id" => {
                self.image = message.aux["ID"].as_str().map(str::to_owned);
            }
            _ => {}
        }
        if !message.stream.trim().is_empty() {
            say(Stream::Stdout, message.stream.trim_end());
        }
        let detail = message.detail.map(|detail| detail.message).unwrap_or_default();
        let error = if detail.is_empty() { message.error } else { detail };
        if !error.is_empty() {
            self.error = Some(error);
        }
    }
}

/// Follows the messages to their end. A broken connection after the result is no loss.
async fn follow(
    response: Response<Incoming>,
    say: &mut impl FnMut(Stream, &str),
) -> Result<Outcome, EngineError> {
    let mut outcome = Outcome::default();
    let mut pending = BytesMut::new();
    let mut body = response.into_body().into_data_stream();
    while let Some(piece) = body.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(_) if outcome.image.is_some() || outcome.error.is_some() => break,
            Err(error) => return Err(EngineError::Away(error.to_string())),
        };
        pending.extend_from_slice(&piece);
        while let Some(end) = pending.iter().position(|&byte| byte == b'\n') {
            let line = pending.split_to(end + 1);
            if !line.trim_ascii().is_empty() {
                outcome.take(&line, say);
            }
        }
        if pending.len() > MAXIMUM_MESSAGE {
            return Err(EngineError::Unreadable("a message without end".to_owned()));
        }
    }
    if !pending.trim_ascii().is_empty() {
        outcome.take(&pending, say);
    }
    outcome.progress.finish(say);
    Ok(outcome)
}
