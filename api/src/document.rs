//! The `OpenAPI` document, made from the handlers.

use utoipa::OpenApi;
use utoipa::openapi::HttpMethod;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use zeitwork_web::Code;
use zeitwork_web::problem::ProblemBody;

use crate::router;

mod common;
#[cfg(test)]
mod tests;

/// What stands at the head of the document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Zeitwork",
        description = "Pushes go live. Every error is application/problem+json with a stable code (the schema Code lists them); every answer has an X-Request-Id; every write takes an Idempotency-Key; lists are pages with a cursor; a path answers a method that it does not have with 405 and Allow. A request whose head cannot be read is answered by a status alone (400, 431), and one whose head takes longer than 30 s not at all."
    ),
    components(schemas(ProblemBody, Code)),
    security(("api_key" = []))
)]
struct Head;

/// The document as text.
///
/// # Errors
/// None in practice: it is made of strings and maps.
pub fn openapi_json() -> Result<String, serde_json::Error> {
    let routes = OpenApiRouter::with_openapi(Head::openapi())
        .nest("/api/v1", router::resources().merge(router::open()));
    let mut document = routes.into_openapi();
    let components = document.components.get_or_insert_default();
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.add_security_scheme("api_key", scheme);
    common::add_components(components);
    for item in document.paths.paths.values_mut() {
        let verbs = [
            (HttpMethod::Get, &mut item.get),
            (HttpMethod::Post, &mut item.post),
            (HttpMethod::Put, &mut item.put),
            (HttpMethod::Patch, &mut item.patch),
            (HttpMethod::Delete, &mut item.delete),
        ];
        for (method, operation) in verbs {
            if let Some(operation) = operation {
                common::complete(&method, operation);
            }
        }
    }
    document.to_pretty_json().map(|text| text + "\n")
}
