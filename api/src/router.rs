//! The contents page of the API.

use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::{Router, routing};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeitwork_web::{Limits, standard, system_routes_for};

use crate::extract::idempotency;
use crate::handlers::{
    api_keys, audit_events, builds, deployments, domains, environments, github, health, instances,
    logs, nodes, openapi, organisations, projects, running, system, variables, webhook_deliveries,
    webhooks, wishes,
};
use crate::state::App;
use crate::{measure, patience};

/// Everything that needs a key.
pub fn resources() -> OpenApiRouter<App> {
    OpenApiRouter::default().merge(projects_and_below()).merge(work()).merge(platform())
}

fn projects_and_below() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(projects::create, projects::list))
        .routes(routes!(projects::get, projects::update, projects::delete))
        .routes(routes!(environments::create, environments::list))
        .routes(routes!(environments::get, environments::update, environments::delete))
        .routes(routes!(wishes::roll_back))
        .routes(routes!(wishes::redeploy))
        .routes(routes!(running::scale))
        .routes(routes!(running::pause))
        .routes(routes!(running::resume))
        .routes(routes!(running::metrics))
        .routes(routes!(logs::of_environment))
        .routes(routes!(logs::events))
        .routes(routes!(variables::list))
        .routes(routes!(variables::get, variables::put, variables::delete))
        .routes(routes!(domains::list))
        .routes(routes!(deployments::create, deployments::list))
        .routes(routes!(builds::list))
        .routes(routes!(webhook_deliveries::list))
        .routes(routes!(webhook_deliveries::replay))
}

fn work() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(deployments::get))
        .routes(routes!(deployments::cancel))
        .routes(routes!(logs::of_deployment))
        .routes(routes!(builds::get))
        .routes(routes!(builds::cancel))
        .routes(routes!(logs::of_build))
        .routes(routes!(builds::retry))
        .routes(routes!(instances::list))
        .routes(routes!(instances::get))
}

fn platform() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(organisations::create, organisations::list))
        .routes(routes!(organisations::get))
        .routes(routes!(api_keys::create, api_keys::list))
        .routes(routes!(api_keys::revoke))
        .routes(routes!(audit_events::list))
        .routes(routes!(github::list))
        .routes(routes!(github::assign, github::release))
        .routes(routes!(nodes::list))
        .routes(routes!(nodes::get))
        .routes(routes!(nodes::cordon))
        .routes(routes!(nodes::uncordon))
        .routes(routes!(nodes::drain))
        .routes(routes!(system::reconcilers))
        .routes(routes!(system::consistency))
        .routes(routes!(system::version))
        .routes(routes!(webhook_deliveries::list_all))
        .routes(routes!(webhook_deliveries::replay_any))
}

/// What is open to callers without a key, and proves itself otherwise.
pub fn open() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(routes!(webhooks::github))
}

/// The whole.
pub fn router(app: &App) -> Router {
    let guarded: Router<App> =
        resources().layer(from_fn_with_state(app.clone(), idempotency::layer)).into();
    let open: Router<App> = open().into();
    let open = open.layer(DefaultBodyLimit::max(webhooks::BODY_MAXIMUM));
    let api = guarded
        .merge(open)
        .route("/openapi.json", get(openapi::document))
        .route("/docs", routing::get(openapi::page));
    let system = system_routes_for(app.health.clone(), app.metrics.clone(), health::access(app));
    let router = Router::new().nest("/api/v1", api).with_state(app.clone()).merge(system);
    let bounded = router.layer(from_fn(patience::layer));
    let measured = bounded.layer(from_fn_with_state(app.requests.clone(), measure::layer));
    standard(measured, Limits::default())
}
