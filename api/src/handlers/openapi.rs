//! The description of the API, and a page that shows it without any other file or host.

use axum::response::{Html, IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use zeitwork_web::Problem;

/// The page's own style and script, and nothing from anywhere else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// `/api/v1/openapi.json`.
pub async fn document() -> Response {
    match crate::document::openapi_json() {
        Ok(text) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => Problem::internal(&error).into_response(),
    }
}

/// `/api/v1/docs`.
pub async fn page() -> Response {
    ([(CONTENT_SECURITY_POLICY, POLICY)], Html(include_str!("docs.html"))).into_response()
}
