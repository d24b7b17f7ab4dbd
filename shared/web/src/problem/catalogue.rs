//! Every stable code with its status, its title and what to do.

use std::time::Duration;

use http::StatusCode;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

macro_rules! catalogue {
    ($($name:ident = $code:literal, $status:ident, $title:literal, $advice:literal;)+) => {
        /// A stable code. New ones join at the end of their group; none ever changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)+
        }

        impl Code {
            /// All of them, for documentation and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word in the body.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The status of the answer.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// The kind of problem in words.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// What to do, where the occurrence has nothing better to say.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)+ }
            }
        }
    };
}

catalogue! {
    MalformedJson = "malformed_json", BAD_REQUEST, "Malformed JSON",
        "The body is no JSON of the expected form.";
    BadRequest = "bad_request", BAD_REQUEST, "Bad request",
        "The request cannot be understood.";
    InvalidCursor = "invalid_cursor", BAD_REQUEST, "Invalid cursor",
        "Use the next_cursor of the page before, or none.";
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "No valid credentials",
        "Send Authorization: Bearer with a valid API key.";
    SignatureInvalid = "signature_invalid", UNAUTHORIZED, "Invalid signature",
        "The body must be signed with the configured webhook secret.";
    Forbidden = "forbidden", FORBIDDEN, "Not allowed",
        "The key lacks the scope that this needs.";
    NotFound = "not_found", NOT_FOUND, "Not found",
        "There is nothing here that the key may see.";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed",
        "The Allow header names the methods of this path.";
    NotAcceptable = "not_acceptable", NOT_ACCEPTABLE, "Not acceptable",
        "There is no such representation.";
    Conflict = "conflict", CONFLICT, "Conflict",
        "The request does not fit the present state.";
    Stale = "stale", CONFLICT, "Stale",
        "It was changed meanwhile: read it again and decide anew.";
    NameTaken = "name_taken", CONFLICT, "Name taken",
        "Choose another name.";
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY,
        "Idempotency key reused",
        "The key belongs to a request with another body: use a new one.";
    PreconditionFailed = "precondition_failed", PRECONDITION_FAILED, "Precondition failed",
        "It was changed meanwhile: read it again and decide anew.";
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE, "Payload too large",
        "Send a smaller body.";
    UriTooLong = "uri_too_long", URI_TOO_LONG, "URI too long",
        "Send a shorter path and query.";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE,
        "Unsupported media type", "Send Content-Type: application/json.";
    ValidationFailed = "validation_failed", UNPROCESSABLE_ENTITY, "Validation failed",
        "Correct what `errors` names.";
    LimitReached = "limit_reached", UNPROCESSABLE_ENTITY, "Limit reached",
        "The organisation has as many of these as it may.";
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests",
        "Wait as long as Retry-After says.";
    HeadersTooLarge = "headers_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE,
        "Headers too large", "Send fewer or shorter headers.";
    Internal = "internal", INTERNAL_SERVER_ERROR, "Internal error",
        "This is our fault. The request id leads to the cause in the logs.";
    NotImplemented = "not_implemented", NOT_IMPLEMENTED, "Not implemented",
        "This server does not do that.";
    BadGateway = "bad_gateway", BAD_GATEWAY, "Bad gateway",
        "A server behind this one gave no valid answer.";
    GithubNotConfigured = "github_not_configured", SERVICE_UNAVAILABLE,
        "GitHub is not configured", "Set ZEITWORK_GITHUB_WEBHOOK_SECRET and start again.";
    DatabaseUnavailable = "database_unavailable", SERVICE_UNAVAILABLE,
        "The database is unavailable", "Try again as Retry-After says.";
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Unavailable",
        "Try again as Retry-After says.";
    NotReady = "not_ready", SERVICE_UNAVAILABLE, "Not ready",
        "A part that this daemon needs is not there yet.";
    Stopping = "stopping", SERVICE_UNAVAILABLE, "Stopping",
        "The daemon is being restarted: try again as Retry-After says.";
    Timeout = "timeout", GATEWAY_TIMEOUT, "Timed out",
        "The answer took too long; whether the request took effect is unknown.";
}

impl Code {
    /// When to come back, unless the occurrence knows better.
    #[must_use]
    pub fn retry_after(self) -> Option<Duration> {
        match self.status() {
            StatusCode::SERVICE_UNAVAILABLE if self == Self::GithubNotConfigured => None,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        }
    }

    /// The code for an error answer that something else made (a rejection of the framework).
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::REQUEST_TIMEOUT => Self::Timeout,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            StatusCode::CONFLICT => Self::Conflict,
            StatusCode::BAD_REQUEST => Self::BadRequest,
            StatusCode::UNAUTHORIZED => Self::Unauthenticated,
            StatusCode::UNPROCESSABLE_ENTITY => Self::ValidationFailed,
            _ => {
                let same = Self::ALL.iter().find(|code| code.status() == status);
                let client =
                    if status.is_client_error() { Self::BadRequest } else { Self::Internal };
                same.copied().unwrap_or(client)
            }
        }
    }
}

/// As a reader of the description of an API sees it: every code with its status and its advice.
impl utoipa::PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        let line = |code: &Self| {
            let (word, status) = (code.as_str(), code.status().as_u16());
            format!("- `{word}` ({status}): {}", code.advice())
        };
        let lines: Vec<String> = Self::ALL.iter().map(line).collect();
        let text = format!("Stable: none ever changes, new ones may join.\n{}", lines.join("\n"));
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Self::ALL.iter().map(|code| code.as_str())))
            .description(Some(text))
            .into()
    }
}

impl utoipa::ToSchema for Code {}
