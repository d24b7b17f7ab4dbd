//! How an environment runs: scale, pause, resume, and what it uses.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use zeitwork_database::environments;
use zeitwork_database::events::{self, NewEvent};
use zeitwork_database::instances::{self, Filter};
use zeitwork_database::{Error as DatabaseError, PgConnection};
use zeitwork_model::environment::WEB;
use zeitwork_model::id::InstanceId;
use zeitwork_model::instance::InstanceStatus;
use zeitwork_web::Problem;

use super::accepted;
use super::environments::show;
use crate::error::{Answer, Refusal};
use crate::extract::{Caller, Valid, Who, can, named};
use crate::state::App;
use crate::views::environment::Environment;

/// How many instances are wanted.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Which process; `web` if absent.
    #[serde(default)]
    #[garde(length(max = 32))]
    process: Option<String>,
    /// How many: 0–100.
    #[garde(range(min = 0, max = 100))]
    replicas: i32,
}

#[utoipa::path(post, path = "/projects/{project}/environments/{environment}/scale",
    tag = "environments", operation_id = "scale", request_body = Scale, params(
        ("project" = String, Path, description = "Id or slug"),
        ("environment" = String, Path, description = "Id or name")),
    responses((status = 202, body = Environment)))]
/// Sets how many instances of a process are wanted.
pub async fn scale(
    State(app): State<App>,
    caller: Caller<can::Deploy>,
    Path(names): Path<(String, String)>,
    Valid(body): Valid<Scale>,
) -> Answer<Response> {
    let mut transaction = app.database.begin().await?;
    let (_, environment) = named::pair(&mut transaction, &caller, &names).await?;
    let process = body.process.as_deref().unwrap_or(WEB);
    let (organisation, id) = (caller.organisation, environment.id);
    // Names of processes are compared, never stored, so NUL is the one that matters.
    let known = !process.contains('\0');
    if !known {
        return Err(unknown_process());
    }
    environments::scale(&mut transaction, organisation, id, process, body.replicas).await.map_err(
        |error| match error {
            DatabaseError::NotFound(_) => unknown_process(),
            other => other.into(),
        },
    )?;
    let detail = json!({ "process": process, "replicas": body.replicas });
    caller.audit(&mut transaction, "environment.scale", id, detail).await?;
    let text = format!("{process} scaled to {}", body.replicas);
    answer(transaction, &app, &caller, &names, "environment.scaled", &text).await
}

fn unknown_process() -> Refusal {
    Problem::invalid("/process", "unknown", "the environment has no such process").into()
}

#[utoipa::path(post, path = "/projects/{project}/environments/{environment}/pause",
    tag = "environments", operation_id = "pause", params(
        ("project" = String, Path, description = "Id or slug"),
        ("environment" = String, Path, description = "Id or name")),
    responses((status = 202, body = Environment)))]
/// Pauses an environment: its instances freeze, its address answers 503. What is pushed meanwhile
/// is built, and starts and goes live once the environment is resumed.
pub async fn pause(
    State(app): State<App>,
    caller: Caller<can::Deploy>,
    Path(names): Path<(String, String)>,
) -> Answer<Response> {
    set_paused(&app, &caller, &names, true).await
}

#[utoipa::path(post, path = "/projects/{project}/environments/{environment}/resume",
    tag = "environments", operation_id = "resume", params(
        ("project" = String, Path, description = "Id or slug"),
        ("environment" = String, Path, description = "Id or name")),
    responses((status = 202, body = Environment)))]
/// Resumes a paused environment.
pub async fn resume(
    State(app): State<App>,
    caller: Caller<can::Deploy>,
    Path(names): Path<(String, String)>,
) -> Answer<Response> {
    set_paused(&app, &caller, &names, false).await
}

async fn set_paused(
    app: &App,
    who: &Who,
    names: &(String, String),
    paused: bool,
) -> Answer<Response> {
    let mut transaction = app.database.begin().await?;
    let (_, environment) = named::pair(&mut transaction, who, names).await?;
    environments::set_paused(&mut transaction, who.organisation, environment.id, paused).await?;
    let (action, kind, text) = if paused {
        ("environment.pause", "environment.paused", "paused")
    } else {
        ("environment.resume", "environment.resumed", "resumed")
    };
    who.audit(&mut transaction, action, environment.id, json!({})).await?;
    answer(transaction, app, who, names, kind, text).await
}

/// Writes the event, commits, and shows the environment as it is now.
async fn answer(
    mut transaction: zeitwork_database::Transaction,
    app: &App,
    who: &Who,
    names: &(String, String),
    kind: &str,
    text: &str,
) -> Answer<Response> {
    let (project, row) = named::pair(&mut transaction, who, names).await?;
    let event = NewEvent {
        organisation_id: who.organisation,
        environment_id: row.id,
        kind,
        text,
        deployment_id: None,
        instance_id: None,
        actor: &who.actor(),
        request_id: Some(&who.request_id),
    };
    events::append(&mut transaction, &event).await?;
    let location = format!("/api/v1/projects/{}/environments/{}", project.id, row.id);
    let view = show(&mut transaction, app, who, row).await?;
    who.conclude(transaction, accepted(location, view)).await
}

/// What an environment uses now, by the newest reports of its nodes.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnvironmentMetrics {
    /// Sums over the instances, by the name of the figure (`cpu_millis`, `memory_bytes`, …).
    pub total: BTreeMap<String, f64>,
    /// Each instance that runs.
    pub instances: Vec<InstanceMetrics>,
}

/// What one instance uses.
#[derive(Debug, Serialize, ToSchema)]
pub struct InstanceMetrics {
    /// Which.
    pub instance: InstanceId,
    /// How it is.
    pub status: InstanceStatus,
    /// The figures; null until the node has reported some.
    pub usage: Option<serde_json::Value>,
}

#[utoipa::path(get, path = "/projects/{project}/environments/{environment}/metrics",
    tag = "environments", operation_id = "get_environment_metrics", params(
        ("project" = String, Path, description = "Id or slug"),
        ("environment" = String, Path, description = "Id or name")),
    responses((status = 200, body = EnvironmentMetrics)))]
/// What the environment's instances use now.
pub async fn metrics(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Path(names): Path<(String, String)>,
) -> Answer<Json<EnvironmentMetrics>> {
    let mut connection = app.database.acquire().await?;
    let (_, environment) = named::pair(&mut connection, &caller, &names).await?;
    let instances = usage(&mut connection, &caller, environment.id).await?;
    let mut total = BTreeMap::new();
    for (name, value) in instances.iter().filter_map(|it| it.usage.as_ref()?.as_object()).flatten()
    {
        *total.entry(name.clone()).or_insert(0.0) += value.as_f64().unwrap_or_default();
    }
    Ok(Json(EnvironmentMetrics { total, instances }))
}

async fn usage(
    connection: &mut PgConnection,
    who: &Who,
    environment: zeitwork_model::id::EnvironmentId,
) -> Answer<Vec<InstanceMetrics>> {
    let filter = Filter { environment: Some(environment), running: true, ..Filter::default() };
    // More than an environment's replicas, while the next ones stand beside them.
    let rows = instances::list(connection, who.organisation, filter, None, 1_000).await?;
    let view = |row: instances::Instance| InstanceMetrics {
        instance: row.id,
        status: row.status,
        usage: row.usage,
    };
    Ok(rows.into_iter().map(view).collect())
}
