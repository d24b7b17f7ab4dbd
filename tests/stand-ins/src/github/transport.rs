//! Git's smart HTTP, by git's own `http-backend` as a CGI program.
//!
//! Bodies stream both ways. The dumb protocol is refused, as GitHub does.

use std::path::Path as FilePath;
use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::TryStreamExt;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::StreamReader;

use super::{Shared, git, push};
use crate::world_clock;

type Answer = Response<Body>;
/// Chunks on their way to the client: enough to keep both sides busy, no more.
const CHUNKS: usize = 8;
const CHUNK_BYTES: usize = 64 * 1024;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/{owner}/{name}/info/refs", get(info_refs))
        .route("/{owner}/{name}/git-upload-pack", post(upload_pack))
        .route("/{owner}/{name}/git-receive-pack", post(receive_pack))
}

/// What a git request wants to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Service {
    UploadPack,
    ReceivePack,
}

async fn info_refs(
    State(shared): State<Arc<Shared>>,
    Path((owner, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let service = match query.as_deref() {
        Some("service=git-upload-pack") => Service::UploadPack,
        Some("service=git-receive-pack") => Service::ReceivePack,
        _ => return plain(StatusCode::FORBIDDEN, "Please upgrade your git client.\n"),
    };
    let call = Call { headers, method: Method::GET, path: "info/refs", query, body: Body::empty() };
    match authorise(&shared, &owner, &name, service, &call.headers) {
        Ok(repository) => backend(&shared, repository, call, None).await,
        Err(refused) => *refused,
    }
}

async fn upload_pack(
    State(shared): State<Arc<Shared>>,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let call = Call { headers, method: Method::POST, path: "git-upload-pack", query: None, body };
    match authorise(&shared, &owner, &name, Service::UploadPack, &call.headers) {
        Ok(repository) => backend(&shared, repository, call, None).await,
        Err(refused) => *refused,
    }
}

async fn receive_pack(
    State(shared): State<Arc<Shared>>,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let call = Call { headers, method: Method::POST, path: "git-receive-pack", query: None, body };
    let repository = match authorise(&shared, &owner, &name, Service::ReceivePack, &call.headers) {
        Ok(repository) => repository,
        Err(refused) => return *refused,
    };
    // One push at a time: what lies between two looks at the refs is this push's doing.
    let turn = shared.push_turn(repository).lock_owned().await;
    match push::refs(&shared.directory(repository)).await {
        Ok(before) => {
            backend(&shared, repository, call, Some(Pushing { before, _turn: turn })).await
        }
        Err(error) => broken(&error),
    }
}

fn plain(status: StatusCode, text: &str) -> Answer {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text.to_owned()).into_response()
}

fn broken(error: &dyn std::error::Error) -> Answer {
    plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("the stand-in is broken: {error}\n"))
}

/// The user and password of Basic authentication.
fn credentials(headers: &HeaderMap) -> Option<Result<(String, String), ()>> {
    let value = headers.get(header::AUTHORIZATION)?;
    let pair = || {
        let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
        let decoded = STANDARD.decode(encoded).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (user, password) = text.split_once(':')?;
        scheme.eq_ignore_ascii_case("basic").then(|| (user.to_owned(), password.to_owned()))
    };
    Some(pair().ok_or(()))
}

/// The repository's number, or GitHub's refusal: 401 without a valid credential, 404 for what
/// the credential does not see, 403 for a write that it may not do.
fn authorise(
    shared: &Shared,
    owner: &str,
    name: &str,
    service: Service,
    headers: &HeaderMap,
) -> Result<u64, Box<Answer>> {
    let world = shared.world();
    let row = world.repository(owner, name);
    let not_found = || Box::new(plain(StatusCode::NOT_FOUND, "Repository not found.\n"));
    let Some(credentials) = credentials(headers) else {
        return match (row, service) {
            (Some(row), Service::UploadPack) if !row.private => Ok(row.id),
            _ => Err(Box::new(unauthorized("Repository not found.\n"))),
        };
    };
    let bad = || Box::new(unauthorized("Invalid username or token.\n"));
    let (user, password) = credentials.map_err(|()| bad())?;
    if password == shared.push_token {
        return row.map(|row| row.id).ok_or_else(not_found);
    }
    if user != "x-access-token" {
        return Err(bad());
    }
    let token = world.living_token(&password, world_clock::now()).ok_or_else(bad)?;
    let row = row.ok_or_else(not_found)?;
    let reads = token.permissions.contains_key("contents") && world.sees(token, row);
    match service {
        Service::UploadPack if reads || !row.private => Ok(row.id),
        Service::ReceivePack if reads => Err(Box::new(plain(
            StatusCode::FORBIDDEN,
            "Permission to this repository denied to zeitwork-stand-in[bot].\n",
        ))),
        _ => Err(not_found()),
    }
}

fn unauthorized(text: &str) -> Answer {
    let mut answer = plain(StatusCode::UNAUTHORIZED, text);
    let realm = header::HeaderValue::from_static("Basic realm=\"GitHub\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    answer
}

/// A request for the CGI program.
struct Call {
    headers: HeaderMap,
    method: Method,
    path: &'static str,
    query: Option<String>,
    body: Body,
}

/// What a push keeps until its end.
struct Pushing {
    before: push::Refs,
    _turn: tokio::sync::OwnedMutexGuard<()>,
}

async fn backend(
    shared: &Arc<Shared>,
    repository: u64,
    call: Call,
    pushing: Option<Pushing>,
) -> Answer {
    match try_backend(shared, repository, call, pushing).await {
        Ok(answer) => answer,
        Err(error) => broken(&error),
    }
}

async fn try_backend(
    shared: &Arc<Shared>,
    repository: u64,
    call: Call,
    pushing: Option<Pushing>,
) -> std::io::Result<Answer> {
    let mut command = command(&shared.backend, &shared.repositories(), repository, &call);
    let mut child = command.spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    if let Some(mut stdin) = stdin {
        let stream = call.body.into_data_stream().map_err(std::io::Error::other);
        world_clock::spawn(async move {
            // Git may stop reading early, the client may vanish: either ends the copy, and
            // closing the pipe tells git.
            let _ended = tokio::io::copy(&mut StreamReader::new(stream), &mut stdin).await;
        });
    }
    let mut stdout = BufReader::new(stdout.ok_or(std::io::ErrorKind::BrokenPipe)?);
    let mut response = head(&mut stdout).await?;
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let shared = Arc::clone(shared);
    world_clock::spawn(finish(shared, repository, child, stdout, sender, pushing));
    *response.body_mut() = Body::from_stream(ReceiverStream::new(receiver));
    Ok(response)
}

/// The CGI environment (RFC 3875).
fn command(backend: &FilePath, root: &FilePath, repository: u64, call: &Call) -> Command {
    let mut command = Command::new(backend);
    git::clean(&mut command)
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{repository}.git/{}", call.path))
        .env("REQUEST_METHOD", call.method.as_str())
        .env("QUERY_STRING", call.query.as_deref().unwrap_or_default())
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    // Without a length (chunked) git reads to the end.
    let passed = [
        ("content-type", "CONTENT_TYPE"),
        ("content-length", "CONTENT_LENGTH"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
    ];
    for (name, variable) in passed {
        if let Some(value) = call.headers.get(name).and_then(|value| value.to_str().ok()) {
            command.env(variable, value);
        }
    }
    command
}

/// The CGI answer's head, up to the empty line.
async fn head(stdout: &mut BufReader<ChildStdout>) -> std::io::Result<Answer> {
    let mut response = Response::new(Body::empty());
    let mut line = String::new();
    while stdout.read_line(&mut line).await? > 0 {
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().and_then(|code| code.parse().ok());
            *response.status_mut() = code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        } else if let (Ok(name), Ok(value)) =
            (name.parse::<header::HeaderName>(), header::HeaderValue::from_str(value))
        {
            response.headers_mut().insert(name, value);
        }
        line.clear();
    }
    Ok(response)
}

/// Hands git's answer on; after a push, tells the webhook what changed.
async fn finish(
    shared: Arc<Shared>,
    repository: u64,
    mut child: Child,
    mut stdout: BufReader<ChildStdout>,
    sender: mpsc::Sender<std::io::Result<Bytes>>,
    pushing: Option<Pushing>,
) {
    let mut wanted = true;
    loop {
        let mut chunk = bytes::BytesMut::with_capacity(CHUNK_BYTES);
        match stdout.read_buf(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(_) if wanted => wanted = sender.send(Ok(chunk.freeze())).await.is_ok(),
            Ok(_) => {}
        }
        // A fetch that nobody reads ends here; a push is brought to its end in any case.
        if !wanted && pushing.is_none() {
            return;
        }
    }
    // The refs are final once git has ended, whatever it ended with.
    let _status = child.wait().await;
    if let Some(pushing) = pushing
        && let Err(error) = push::announce(&shared, repository, &pushing.before).await
    {
        let _told = sender.send(Err(std::io::Error::other(error))).await;
    }
}
