//! The REST calls, strict about who asks and how.
//!
//! <https://docs.github.com/en/rest>; an unknown path answers 404 in GitHub's form.

mod apps;
mod caller;
mod commits;
mod deliveries;
mod gate;
mod statuses;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde_json::{Value, json};

pub use gate::Fault;

use super::Shared;

/// The calls, at the root and under `/api/v3`.
pub(crate) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let calls = Router::new()
        .route("/app", get(apps::show))
        .route("/app/installations", get(apps::list_installations))
        .route("/app/installations/{id}", get(apps::show_installation))
        .route("/app/installations/{id}/access_tokens", post(apps::create_token))
        .route("/app/hook/deliveries", get(deliveries::list))
        .route("/app/hook/deliveries/{id}", get(deliveries::show))
        .route("/app/hook/deliveries/{id}/attempts", post(deliveries::redeliver))
        .route("/installation/repositories", get(apps::list_repositories))
        .route("/installation/token", delete(apps::revoke_token))
        .route("/orgs/{login}/installation", get(apps::show_account_installation))
        .route("/repositories/{id}", get(commits::show_repository_by_id))
        .route("/repos/{owner}/{name}", get(commits::show_repository))
        .route("/repos/{owner}/{name}/installation", get(apps::show_repository_installation))
        .route("/repos/{owner}/{name}/branches/{*branch}", get(commits::show_branch))
        .route("/repos/{owner}/{name}/commits/{*reference}", get(commits::show_commit))
        .route("/repos/{owner}/{name}/git/ref/{*reference}", get(commits::show_reference))
        .route("/repos/{owner}/{name}/statuses/{sha}", post(statuses::create))
        .method_not_allowed_fallback(async || Refusal::not_found())
        .layer(middleware::from_fn_with_state(Arc::clone(shared), gate::check));
    let unknown = Router::new()
        .fallback(async || Refusal::not_found())
        .layer(middleware::from_fn_with_state(Arc::clone(shared), gate::check));
    Router::new()
        .nest("/api/v3", calls.clone())
        .merge(calls)
        .fallback_service(unknown.with_state(Arc::clone(shared)))
}

/// An answer that is no success, in GitHub's form.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    message: String,
    errors: Option<Value>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), errors: None }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found")
    }

    pub(crate) fn invalid(resource: &str, field: &str, message: &str) -> Self {
        let errors = json!([
            {"resource": resource, "code": "custom", "field": field, "message": message}
        ]);
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self { status, message: "Validation Failed".to_owned(), errors: Some(errors) }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({
            "message": self.message,
            "documentation_url": "https://docs.github.com/rest",
            "status": self.status.as_u16().to_string(),
        });
        if let Some(errors) = self.errors {
            body["errors"] = errors;
        }
        (self.status, Json(body)).into_response()
    }
}

/// Which part of a list is wanted.
#[derive(serde::Deserialize)]
pub(crate) struct Page {
    per_page: Option<usize>,
    page: Option<usize>,
}

impl Page {
    /// That part: 30 on a page unless asked, never more than 100.
    fn of<T>(&self, items: Vec<T>) -> Vec<T> {
        let size = self.per_page.unwrap_or(30).clamp(1, 100);
        let skipped = self.page.unwrap_or(1).max(1).saturating_sub(1).saturating_mul(size);
        items.into_iter().skip(skipped).take(size).collect()
    }
}
