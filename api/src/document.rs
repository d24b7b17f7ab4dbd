//! The `OpenAPI` document, made from the handlers.

use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use zeitwork_web::problem::{PROBLEM_JSON, ProblemBody};

use crate::router;

/// What stands at the head of the document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Zeitwork",
        description = "Pushes go live. Every error is application/problem+json with a stable code; every write takes an Idempotency-Key; lists are pages with a cursor."
    ),
    components(schemas(ProblemBody)),
    security(("api_key" = []))
)]
struct Head;

/// The errors that any operation may answer.
const ERRORS: &[(&str, &str)] = &[
    ("400", "The request cannot be read, or the cursor is none"),
    ("401", "No valid credentials"),
    ("403", "The key lacks the scope"),
    ("404", "There is nothing here that the key may see"),
    ("409", "It does not fit the present state, or the name is taken"),
    ("413", "The body is too large"),
    ("422", "The input is invalid; errors names each mistake"),
    (
        "429",
        "Too many wrong keys came from this address; RateLimit and Retry-After say when to come back",
    ),
    ("503", "The database is away; Retry-After says when to come back"),
];

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
    for item in document.paths.paths.values_mut() {
        let verbs =
            [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        verbs.into_iter().flatten().for_each(add_errors);
    }
    document.to_pretty_json().map(|text| text + "\n")
}

fn add_errors(operation: &mut Operation) {
    for (status, description) in ERRORS {
        let answers = &mut operation.responses.responses;
        answers.entry((*status).to_owned()).or_insert_with(|| RefOr::T(error(description)));
    }
}

fn error(description: &str) -> Response {
    let body = Content::new(Some(Ref::from_schema_name("ProblemBody")));
    ResponseBuilder::new().description(description).content(PROBLEM_JSON, body).build()
}
