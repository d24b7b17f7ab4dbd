//! The one error format: `application/problem+json` (RFC 9457) with a stable `code`.
//!
//! Nothing internal leaks: a 500 says its request id and nothing else; the cause is logged.

use std::error::Error;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use zeitwork_model::id::RequestId;
use zeitwork_runtime::lifecycle::chain;

mod catalogue;
#[cfg(test)]
mod tests;

pub use catalogue::Code;

/// The media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// One thing that is wrong with the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to it, for example `/source/url`; empty is the whole body.
    pub pointer: String,
    /// Stable word, for example `too_long`.
    pub code: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

/// The body of every error answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ProblemBody {
    /// Names the kind of problem; `urn:zeitwork:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// Stable word for programs.
    #[schema(value_type = Code)]
    pub code: String,
    /// This occurrence in words: what is wrong and what to do.
    pub detail: String,
    /// The answer's `X-Request-Id`.
    pub request_id: String,
    /// Each thing that is wrong with the input; empty for other problems.
    pub errors: Vec<FieldError>,
}

/// How much of something a caller may do in a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Stable name: letters, digits and hyphens.
    pub name: &'static str,
    /// How often.
    pub count: u32,
    /// In which time.
    pub window: Duration,
}

/// An error answer in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    detail: Option<String>,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
    used_up: Option<Quota>,
}

impl Problem {
    /// A problem of the catalogue; its detail is the catalogue's advice until set.
    #[must_use]
    pub fn new(code: Code) -> Self {
        let retry_after = code.retry_after();
        Self { code, detail: None, errors: Vec::new(), retry_after, used_up: None }
    }

    /// There is no such thing, or the caller may not know of it.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Code::NotFound)
    }

    /// Somebody else changed it first.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(Code::Conflict).detail(detail)
    }

    /// One field of the input is wrong; [`Problem::error`] adds more.
    #[must_use]
    pub fn invalid(
        pointer: impl Into<String>,
        code: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(Code::ValidationFailed).error(pointer, code, detail)
    }

    /// A fault of ours: the cause is logged here, the caller gets the request id alone.
    #[must_use]
    pub fn internal(cause: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = chain(cause), "request failed");
        Self::new(Code::Internal)
    }

    /// What is wrong this time, and what to do.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds one thing that is wrong with the input.
    #[must_use]
    pub fn error(
        mut self,
        pointer: impl Into<String>,
        code: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        let (pointer, code, detail) = (pointer.into(), code.into(), detail.into());
        self.errors.push(FieldError { pointer, code, detail });
        self
    }

    /// When to come back, in whole seconds of at least one.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The quota that the caller has used up, and when it begins anew: `RateLimit-Policy`,
    /// `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10) and `Retry-After`.
    #[must_use]
    pub fn used_up(mut self, quota: Quota, left: Duration) -> Self {
        self.used_up = Some(quota);
        self.retry_after(left)
    }

    /// Its place in the catalogue.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// The body, as the request with this id gets it.
    #[must_use]
    pub fn body(&self, request_id: &str) -> ProblemBody {
        ProblemBody {
            kind: format!("urn:zeitwork:problem:{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.status().as_u16(),
            code: self.code.as_str().to_owned(),
            detail: self.detail.clone().unwrap_or_else(|| self.code.advice().to_owned()),
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
        }
    }

    /// The answer with a known request id.
    pub(crate) fn answer(&self, request_id: &str) -> Response {
        // Strings and numbers always serialise.
        let body = serde_json::to_vec(&self.body(request_id)).unwrap_or_default();
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        let seconds = self.retry_after.map(|delay| delay.as_secs().max(1));
        if let Some(seconds) = seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(Quota { name, count, window }) = self.used_up {
            let policy = format!("\"{name}\";q={count};w={}", window.as_secs());
            let limit = format!("\"{name}\";r=0;t={}", seconds.unwrap_or(1));
            for (header, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, limit)] {
                // Names of quotas are ours and legal in headers.
                if let Ok(value) = HeaderValue::from_str(&value) {
                    headers.insert(header, value);
                }
            }
        }
        response
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl IntoResponse for Problem {
    /// The middleware of [`crate::standard`] fills in the request's own id; without it the
    /// answer gets a new one.
    fn into_response(self) -> Response {
        let mut response = self.answer(&RequestId::new().to_string());
        response.extensions_mut().insert(self);
        response
    }
}
