//! The answers that are ours and no instance's.

use bytes::Bytes;
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
};
use hyper::{Request, Response, StatusCode};

use crate::request::body::Payload;
use crate::request::finish::Finish;

/// Marks our own answers; what an instance sends under this name is removed.
pub const ZEITWORK_ANSWER: HeaderName = HeaderName::from_static("zeitwork-answer");

/// Why we answer ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The request cannot be read in exactly one way.
    BadRequest(&'static str),
    /// The host is not known.
    NoRoute,
    /// The client sends its body too slowly.
    SlowRequest,
    /// The request's head has too many fields or bytes.
    HeadTooLarge,
    /// Too much at once.
    Limit,
    /// No instance could be reached, or it ended without an answer.
    ConnectFailed,
    /// The host has no instance that serves.
    NoInstance,
    /// The instance did not answer in time.
    Timeout,
}

impl Refusal {
    /// Codes in the order of [`Refusal::index`].
    pub const CODES: [&str; 8] = [
        "bad_request",
        "no_route",
        "slow_request",
        "head_too_large",
        "limit",
        "connect_failed",
        "no_instance",
        "timeout",
    ];

    /// Its place in the counters.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::BadRequest(_) => 0,
            Self::NoRoute => 1,
            Self::SlowRequest => 2,
            Self::HeadTooLarge => 3,
            Self::Limit => 4,
            Self::ConnectFailed => 5,
            Self::NoInstance => 6,
            Self::Timeout => 7,
        }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        Self::CODES[self.index()]
    }

    /// The status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::SlowRequest => StatusCode::REQUEST_TIMEOUT,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Limit => StatusCode::TOO_MANY_REQUESTS,
            Self::ConnectFailed => StatusCode::BAD_GATEWAY,
            Self::NoInstance => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::BadRequest(_) => "This request cannot be understood",
            Self::NoRoute => "Nothing is served under this name",
            Self::SlowRequest => "The request came too slowly",
            Self::HeadTooLarge => "The request's head is too large",
            Self::Limit => "Too many connections",
            Self::ConnectFailed => "The application cannot be reached",
            Self::NoInstance => "The application is not running",
            Self::Timeout => "The application did not answer in time",
        }
    }

    const fn detail(self) -> &'static str {
        match self {
            Self::BadRequest(detail) => detail,
            Self::NoRoute => "no project has a domain of this name; check the address",
            Self::SlowRequest => "the rest of the request's body did not come in time",
            Self::HeadTooLarge => "send fewer or shorter header fields, or fewer cookies",
            Self::Limit => "close some connections, or try again later",
            Self::ConnectFailed => "its instances refuse connections or end them; see its logs",
            Self::NoInstance => "it has no healthy instance at present; see its deployments",
            Self::Timeout => "its time for the start of an answer is over; see its logs",
        }
    }

    const fn closes(self) -> bool {
        use Refusal::{BadRequest, HeadTooLarge, Limit, SlowRequest};
        matches!(self, BadRequest(_) | SlowRequest | HeadTooLarge | Limit)
    }
}

/// Whether a person's browser asks.
#[must_use]
pub fn wants_html<B>(request: &Request<B>) -> bool {
    request
        .headers()
        .get_all(ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")))
}

/// The answer: `application/problem+json`, or a plain page for a browser.
#[must_use]
pub fn render(
    refusal: Refusal,
    html: bool,
    request_id: &HeaderValue,
    finish: Finish,
) -> Response<Payload> {
    let id = request_id.to_str().unwrap_or_default();
    let (media, text) = if html {
        ("text/html; charset=utf-8", page(refusal, id))
    } else {
        ("application/problem+json", problem(refusal, id))
    };
    let mut response = Response::new(Payload::own(Bytes::from(text), finish));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(ZEITWORK_ANSWER, HeaderValue::from_static(refusal.code()));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if refusal == Refusal::NoInstance {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    if refusal.closes() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The head and body of a refusal that is given before a request was read.
#[must_use]
pub fn raw(refusal: Refusal, request_id: &HeaderValue) -> String {
    let id = request_id.to_str().unwrap_or_default();
    let text = problem(refusal, id);
    let (status, code) = (refusal.status(), refusal.code());
    format!(
        "HTTP/1.1 {status}\r\nzeitwork-answer: {code}\r\nx-request-id: {id}\r\n\
         content-type: application/problem+json\r\ncache-control: no-store\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
}

fn problem(refusal: Refusal, request_id: &str) -> String {
    serde_json::json!({
        "type": format!("urn:zeitwork:problem:{}", refusal.code()),
        "title": refusal.title(),
        "status": refusal.status().as_u16(),
        "code": refusal.code(),
        "detail": refusal.detail(),
        "request_id": request_id,
        "errors": [],
    })
    .to_string()
}

/// The id is a plain word, everything else is ours: nothing needs escaping.
fn page(refusal: Refusal, request_id: &str) -> String {
    let (status, title, detail) = (refusal.status().as_u16(), refusal.title(), refusal.detail());
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{status} {title}</title>\
         <style>body{{font:1rem/1.5 system-ui;max-width:36rem;margin:20vh auto;padding:0 1rem}}\
         small{{color:#666}}</style><h1>{title}</h1><p>{status}: {detail}.</p>\
         <p><small>Request {request_id}</small></p></html>\n"
    )
}
