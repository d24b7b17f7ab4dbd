//! What happens to every request around its handler: an id, a span, limits, and the promise that
//! every error is a problem.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;
use zeitwork_model::id::RequestId;
use zeitwork_runtime::telemetry::continue_trace;

use crate::problem::{Code, PROBLEM_JSON, Problem};

#[cfg(test)]
mod tests;

/// The header that names a request, both ways.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The request's id, as an extension of the request: `Extension<CurrentRequest>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentRequest {
    /// What the caller sent as `X-Request-Id`, or ours.
    pub id: String,
}

/// What a request may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the body; more is a 413. Extractors stop reading there.
    pub body: usize,
    /// Time until the answer begins; longer is a 504. The body of an answer (a stream) may take
    /// as long as it likes.
    pub answer: Duration,
}

impl Default for Limits {
    /// 1 MiB and 30 s.
    fn default() -> Self {
        Self { body: 1024 * 1024, answer: Duration::from_secs(30) }
    }
}

/// Puts the standard layers around a complete router. A route that needs another body limit sets
/// its own [`axum::extract::DefaultBodyLimit`].
pub fn standard(router: Router, limits: Limits) -> Router {
    router
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::new(Code::MethodNotAllowed) })
        .layer(from_fn_with_state(limits, limit_time))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(axum::extract::DefaultBodyLimit::max(limits.body))
        .layer(from_fn(identify))
}

async fn limit_time(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limits.answer, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Code::Timeout).into_response(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that `CatchPanic` asks for")]
fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(error = text.unwrap_or("no message"), "handler panicked");
    Problem::new(Code::Internal).into_response()
}

/// Outermost: names the request, opens its span, makes every error a problem with that name.
async fn identify(mut request: Request, next: Next) -> Response {
    let id = given_id(request.headers()).unwrap_or_else(|| RequestId::new().to_string());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let span = tracing::info_span!(
        "request",
        request.id = %id,
        http.method = %request.method(),
        http.route = route.as_deref().unwrap_or("none"),
    );
    if let Some(parent) = request.headers().get("traceparent").and_then(|it| it.to_str().ok()) {
        continue_trace(&span, parent);
    }
    request.extensions_mut().insert(CurrentRequest { id: id.clone() });
    let began = std::time::Instant::now();
    async move {
        let mut response = as_problem(next.run(request).await, &id).await;
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(X_REQUEST_ID, value);
        }
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(http.status = response.status().as_u16(), duration_ms, "answered");
        response
    }
    .instrument(span)
    .await
}

/// The caller's id if it is harmless in logs and headers: 1–128 of `A-Za-z0-9._-`.
fn given_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let valid = (1..=128).contains(&text.len()) && text.bytes().all(harmless);
    valid.then(|| text.to_owned())
}

/// Our own problems get the request's id; error answers that something else made (rejections of
/// extractors) become problems; all else passes.
async fn as_problem(response: Response, id: &str) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let (mut parts, body) = response.into_parts();
    let problem = match parts.extensions.remove::<Problem>() {
        Some(problem) => problem,
        None if is_error && !is_problem(&parts.headers) => {
            foreign_problem(status, &parts.headers, body).await
        }
        None => return Response::from_parts(parts, body),
    };
    let mut answer = problem.answer(id);
    *answer.status_mut() = status;
    // What else was said stays (Allow, Retry-After, WWW-Authenticate, cookies).
    parts.headers.remove(CONTENT_TYPE);
    parts.headers.remove(CONTENT_LENGTH);
    for (name, value) in &parts.headers {
        if !answer.headers().contains_key(name) {
            answer.headers_mut().append(name, value.clone());
        }
    }
    answer
}

fn is_problem(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == PROBLEM_JSON.as_bytes())
}

/// A rejection of the framework says in one line of text what is wrong with the request; that
/// line is kept for the caller, except where it would tell about us.
async fn foreign_problem(
    status: StatusCode,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Problem {
    let problem = Problem::new(Code::of_status(status));
    let text = headers.get(CONTENT_TYPE).is_some_and(|it| it.as_bytes().starts_with(b"text/plain"));
    if !text || !status.is_client_error() {
        return problem;
    }
    let line = axum::body::to_bytes(body, 1024).await.ok();
    match line.and_then(|line| String::from_utf8(line.to_vec()).ok()) {
        Some(line) if !line.is_empty() => problem.detail(line),
        _ => problem,
    }
}
