//! What every REST call passes: the demanded headers, the faults that a test ordered, and the
//! headers that every answer carries.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{Refusal, Shared};
use crate::{random, world_clock};

/// What goes wrong with one REST call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status, with GitHub's page for it.
    Status(u16),
    /// 403 "secondary rate limit" with `Retry-After`, in seconds.
    SecondaryLimit(u64),
    /// 403 with `X-RateLimit-Remaining: 0` and the reset after so many seconds.
    PrimaryLimit(u64),
    /// The right answer, this late.
    Slow(Duration),
    /// This call is spared.
    None,
}

/// GitHub's published versions of the API.
const VERSIONS: [&str; 2] = ["2022-11-28", "2026-03-10"];

pub(super) async fn check(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let fault = {
        let mut faults = shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.is_empty() { Fault::None } else { faults.remove(0) }
    };
    let refused = judge(request.headers()).or_else(|| answer_of(fault));
    let mut response = if let Some(refused) = refused {
        refused
    } else {
        if let Fault::Slow(time) = fault {
            tokio::time::sleep(time).await;
        }
        next.run(request).await
    };
    stamp(response.headers_mut());
    response
}

/// The refusal of a call without the headers that GitHub demands.
fn judge(headers: &HeaderMap) -> Option<Response> {
    if headers.get(header::USER_AGENT).is_none_or(HeaderValue::is_empty) {
        let text = "Request forbidden by administrative rules. Please make sure your request has \
                    a User-Agent header (https://docs.github.com/en/rest/overview/resources-in-\
                    the-rest-api#user-agent-required).\n";
        return Some((StatusCode::FORBIDDEN, text).into_response());
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let acceptable = |accept: &str| {
        ["*/*", "application/*", "application/json", "application/vnd.github"]
            .iter()
            .any(|known| accept.contains(known))
    };
    if text("accept").is_some_and(|accept| !acceptable(accept)) {
        let message = "Unsupported 'Accept' header. Must accept 'application/json'.";
        return Some(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response());
    }
    if text("x-github-api-version").is_some_and(|version| !VERSIONS.contains(&version)) {
        let message = "The version of the API that was asked for is not supported.";
        return Some(Refusal::new(StatusCode::BAD_REQUEST, message).into_response());
    }
    None
}

fn answer_of(fault: Fault) -> Option<Response> {
    let limited = |message: &str| Refusal::new(StatusCode::FORBIDDEN, message).into_response();
    match fault {
        Fault::None | Fault::Slow(_) => None,
        Fault::Status(code) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY);
            Some(
                Refusal::new(status, status.canonical_reason().unwrap_or_default()).into_response(),
            )
        }
        Fault::SecondaryLimit(seconds) => {
            let mut response = limited(
                "You have exceeded a secondary rate limit. Please wait a few minutes before you \
                 try again.",
            );
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            Some(response)
        }
        Fault::PrimaryLimit(seconds) => {
            let mut response = limited("API rate limit exceeded for installation.");
            let reset = world_clock::now().unix_timestamp().saturating_add_unsigned(seconds);
            let headers = response.headers_mut();
            headers.insert("x-ratelimit-remaining", 0.into());
            headers.insert("x-ratelimit-reset", reset.into());
            Some(response)
        }
    }
}

fn stamp(headers: &mut HeaderMap) {
    let mut add = |name: &'static str, value: HeaderValue| {
        headers.entry(HeaderName::from_static(name)).or_insert(value);
    };
    let media = HeaderValue::from_static("github.v3; format=json");
    add("x-github-media-type", media);
    let reset = world_clock::now().unix_timestamp() + 3600;
    add("x-ratelimit-limit", 5000.into());
    add("x-ratelimit-remaining", 4999.into());
    add("x-ratelimit-reset", reset.into());
    add("x-ratelimit-resource", HeaderValue::from_static("core"));
    let id = random::guid().ok().and_then(|id| HeaderValue::from_str(&id).ok());
    if let Some(id) = id {
        add("x-github-request-id", id);
    }
    if headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json") {
        let kind = HeaderValue::from_static("application/json; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, kind);
    }
}
