//! The routes that every daemon has: `/healthz`, `/readyz`, `/metrics`.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use zeitwork_runtime::Lifecycle;

use crate::health::Health;
use crate::metrics::{Metrics, OPENMETRICS};
use crate::problem::{Code, Problem};
use crate::request::{Limits, standard};
use crate::server::{BindError, PeerAddress, Server};

#[cfg(test)]
mod tests;

type Answer = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Who may see details and metrics.
#[derive(Clone)]
pub struct DetailAccess(Arc<dyn Fn(Parts) -> Answer + Send + Sync>);

impl DetailAccess {
    /// Callers on this host. One that came through a proxy on this host is none: the edge and
    /// others say so in their headers.
    #[must_use]
    pub fn loopback() -> Self {
        Self(Arc::new(|parts| {
            let local = is_local(&parts);
            Box::pin(async move { local })
        }))
    }

    /// Callers on this host, and those for whom `allowed` says so (a `platform` key).
    #[must_use]
    pub fn loopback_or<F, R>(allowed: F) -> Self
    where
        F: Fn(Parts) -> R + Send + Sync + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        let allowed = Arc::new(allowed);
        Self(Arc::new(move |parts| {
            let allowed = allowed.clone();
            Box::pin(async move { is_local(&parts) || allowed(parts).await })
        }))
    }
}

fn is_local(parts: &Parts) -> bool {
    let peer = parts.extensions.get::<PeerAddress>();
    let proxied = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];
    peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback())
        && !proxied.iter().any(|name| parts.headers.contains_key(*name))
}

#[derive(Clone)]
struct System {
    health: Health,
    metrics: Metrics,
    access: DetailAccess,
}

/// `/healthz`, `/readyz` and `/metrics`, with details for callers on this host only.
pub fn system_routes(health: Health, metrics: Metrics) -> Router {
    system_routes_for(health, metrics, DetailAccess::loopback())
}

/// The same, with details for those that `access` names.
pub fn system_routes_for(health: Health, metrics: Metrics, access: DetailAccess) -> Router {
    Router::new()
        .route("/healthz", get(|| async { Json(serde_json::json!({ "status": "ok" })) }))
        .route("/readyz", get(show_readiness))
        .route("/metrics", get(show_metrics))
        .with_state(System { health, metrics, access })
}

/// Serves nothing but these, in the form of every daemon; no address: nowhere. Returns where.
///
/// # Errors
/// An address that cannot be bound.
pub fn serve_system(
    addresses: &[SocketAddr],
    health: Health,
    metrics: Metrics,
    life: &Lifecycle,
) -> Result<Vec<SocketAddr>, BindError> {
    if addresses.is_empty() {
        return Ok(Vec::new());
    }
    let router = standard(system_routes(health, metrics), Limits::default());
    Ok(Server::bind(addresses)?.serve(&router, life))
}

async fn show_readiness(State(system): State<System>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let detailed = (system.access.0)(parts).await;
    let readiness = system.health.readiness().await;
    if readiness.ready {
        let status = serde_json::json!({ "status": "ready", "checks": readiness.checks });
        let plain = serde_json::json!({ "status": "ready" });
        return Json(if detailed { status } else { plain }).into_response();
    }
    let failed = readiness.checks.into_iter().filter(|(_, outcome)| detailed && !outcome.ok);
    failed
        .fold(Problem::new(Code::NotReady), |problem, (name, outcome)| {
            problem.error(format!("/checks/{name}"), "failed", outcome.detail)
        })
        .into_response()
}

async fn show_metrics(State(system): State<System>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if !(system.access.0)(parts).await {
        return Problem::not_found().into_response();
    }
    match system.metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => Problem::internal(&error).into_response(),
    }
}
