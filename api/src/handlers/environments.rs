//! Environments.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use garde::Validate;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use zeitwork_database::PgConnection;
use zeitwork_database::environments::{self, Process};
use zeitwork_model::environment::{EnvironmentKind, HealthCheck, Limits, WEB};
use zeitwork_model::page::Page;
use zeitwork_web::Problem;

use super::created;
use crate::error::Answer;
use crate::extract::valid::present;
use crate::extract::{Caller, PageQuery, Valid, Who, can, named};
use crate::state::App;
use crate::views::environment::Environment;
use crate::{birth, input};

/// An environment to be made.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewEnvironment)]
pub struct CreateEnvironment {
    /// `[a-z0-9-]`, 1–40 characters, unique in the project.
    #[garde(custom(input::slug))]
    name: String,
    /// What it is for; `staging` if absent.
    #[serde(default)]
    #[garde(skip)]
    kind: Option<EnvironmentKind>,
    /// Pattern of the branches that it follows; absent: the default branch.
    #[serde(default)]
    #[garde(custom(input::option(input::branch_pattern)))]
    branch: Option<String>,
}

#[utoipa::path(post, path = "/projects/{project}/environments", tag = "environments",
    operation_id = "create_environment", request_body = CreateEnvironment,
    params(("project" = String, Path, description = "Id or slug")),
    responses((status = 201, body = Environment)))]
/// Makes an environment with an address of its own.
pub async fn create(
    State(app): State<App>,
    caller: Caller<can::WriteProjects>,
    Path(project): Path<String>,
    Valid(body): Valid<CreateEnvironment>,
) -> Answer<Response> {
    let mut transaction = app.database.begin().await?;
    let project = named::project(&mut transaction, &caller, &project).await?;
    let kind = body.kind.unwrap_or(EnvironmentKind::Staging);
    let branch = body.branch.as_deref();
    let id = birth::environment(&mut transaction, &app.config, &project, &body.name, kind, branch)
        .await?;
    let detail = json!({ "project": project.id, "name": body.name });
    caller.audit(&mut transaction, "environment.create", id, detail).await?;
    let row = named::environment(&mut transaction, &caller, &project, &id.to_string()).await?;
    let view = show(&mut transaction, &app, &caller, row).await?;
    caller
        .conclude(
            transaction,
            created(format!("/api/v1/projects/{}/environments/{id}", project.id), view),
        )
        .await
}

pub async fn show(
    connection: &mut PgConnection,
    app: &App,
    who: &Who,
    row: environments::Environment,
) -> Answer<Environment> {
    let processes = environments::processes(connection, who.organisation, &[row.id]).await?;
    Ok(Environment::new(&app.config, row, &processes))
}

#[utoipa::path(get, path = "/projects/{project}/environments", tag = "environments",
    operation_id = "list_environments",
    params(("project" = String, Path, description = "Id or slug"), PageQuery),
    responses((status = 200, body = Page<Environment>)))]
/// The project's environments, newest first.
pub async fn list(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Path(project): Path<String>,
    page: PageQuery,
) -> Answer<Json<Page<Environment>>> {
    let mut connection = app.database.acquire().await?;
    let project = named::project(&mut connection, &caller, &project).await?;
    let (organisation, before) = (caller.organisation, page.after()?);
    let rows =
        environments::page(&mut connection, organisation, project.id, before, page.rows()).await?;
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let processes = environments::processes(&mut connection, organisation, &ids).await?;
    let view = |row| Environment::new(&app.config, row, &processes);
    Ok(Json(page.finish(rows, |row| row.id, view)))
}

#[utoipa::path(get, path = "/projects/{project}/environments/{environment}",
    tag = "environments", operation_id = "get_environment", params(
        ("project" = String, Path, description = "Id or slug"),
        ("environment" = String, Path, description = "Id or name")),
    responses((status = 200, body = Environment)))]
/// One environment.
pub async fn get(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Path(names): Path<(String, String)>,
) -> Answer<Json<Environment>> {
    let mut connection = app.database.acquire().await?;
    let (_, row) = named::pair(&mut connection, &caller, &names).await?;
    Ok(Json(show(&mut connection, &app, &caller, row).await?))
}

/// What of an environment changes; absent: stays. All but branch and replicas is part of the next
/// deployment.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EnvironmentChange)]
pub struct UpdateEnvironment {
    /// Pattern of the branches that it follows; null: the default branch.
    #[serde(default, deserialize_with = "present")]
    #[garde(custom(input::change(input::branch_pattern)))]
    #[schema(value_type = Option<String>)]
    branch: Option<Option<String>>,
    /// How many instances are wanted: 0–100.
    #[serde(default)]
    #[garde(range(min = 0, max = 100))]
    replicas: Option<i32>,
    /// Where the app listens; null: the image's one exposed TCP port, else 8080.
    #[serde(default, deserialize_with = "present")]
    #[garde(custom(input::change(input::port)))]
    #[schema(value_type = Option<u16>)]
    port: Option<Option<u16>>,
    /// Replaces the image's command; empty: as the image says.
    #[serde(default)]
    #[garde(custom(input::option(input::command)))]
    command: Option<Vec<String>>,
    /// How instances are checked.
    #[serde(default)]
    #[garde(dive)]
    health: Option<HealthChange>,
    /// What an instance may use.
    #[serde(default)]
    #[garde(dive)]
    limits: Option<LimitsChange>,
    /// Longest time that requests in flight may take when an instance is replaced: 0–3600.
    #[serde(default)]
    #[garde(range(max = 3600))]
    drain_seconds: Option<u32>,
}

/// What of the check changes; absent: stays.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthChange {
    /// Path of an HTTP check; null: a TCP connection is enough.
    #[serde(default, deserialize_with = "present")]
    #[garde(custom(input::change(input::health_path)))]
    #[schema(value_type = Option<String>)]
    path: Option<Option<String>>,
    /// Time between two checks once healthy: 100 ms to 5 minutes.
    #[serde(default)]
    #[garde(range(min = 100, max = 300_000))]
    interval_ms: Option<u32>,
    /// Time for one check: 10 ms to 1 minute.
    #[serde(default)]
    #[garde(range(min = 10, max = 60_000))]
    timeout_ms: Option<u32>,
    /// Time from start until it must be healthy: 1 s to 1 h.
    #[serde(default)]
    #[garde(range(min = 1_000, max = 3_600_000))]
    grace_ms: Option<u32>,
}

/// What of the limits changes; absent: stays.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsChange {
    /// Thousandths of a core: 10–256000.
    #[serde(default)]
    #[garde(range(min = 10, max = 256_000))]
    cpu_millis: Option<u32>,
    /// Mebibytes: 6–1048576 (Docker Engine takes no less than 6).
    #[serde(default)]
    #[garde(range(min = 6, max = 1_048_576))]
    memory_mb: Option<u32>,
}

impl UpdateEnvironment {
    fn apply(&self, process: &mut Process) {
        process.replicas = self.replicas.unwrap_or(process.replicas);
        let configuration = &mut process.configuration.0;
        if let Some(port) = self.port {
            configuration.port = port;
        }
        if let Some(command) = &self.command {
            configuration.command.clone_from(command);
        }
        if let Some(health) = &self.health {
            health.apply(&mut configuration.health);
        }
        if let Some(limits) = &self.limits {
            limits.apply(&mut configuration.limits);
        }
        configuration.drain_seconds = self.drain_seconds.unwrap_or(configuration.drain_seconds);
    }
}

impl HealthChange {
    fn apply(&self, health: &mut HealthCheck) {
        if let Some(path) = &self.path {
            health.path.clone_from(path);
        }
        health.interval_ms = self.interval_ms.unwrap_or(health.interval_ms);
        health.timeout_ms = self.timeout_ms.unwrap_or(health.timeout_ms);
        health.grace_ms = self.grace_ms.unwrap_or(health.grace_ms);
    }
}

impl LimitsChange {
    fn apply(&self, limits: &mut Limits) {
        limits.cpu_millis = self.cpu_millis.unwrap_or(limits.cpu_millis);
        limits.memory_mb = self.memory_mb.unwrap_or(limits.memory_mb);
    }
}

#[utoipa::path(patch, path = "/projects/{project}/environments/{environment}",
    tag = "environments", operation_id = "update_environment",
    request_body = UpdateEnvironment, params(
        ("project" = String, Path, description = "Id or slug"),
        ("environment" = String, Path, description = "Id or name")),
    responses((status = 200, body = Environment)))]
/// Changes an environment.
pub async fn update(
    State(app): State<App>,
    caller: Caller<can::WriteProjects>,
    Path(names): Path<(String, String)>,
    Valid(body): Valid<UpdateEnvironment>,
) -> Answer<Response> {
    let mut transaction = app.database.begin().await?;
    let (project, row) = named::pair(&mut transaction, &caller, &names).await?;
    let branch = body.branch.clone().unwrap_or_else(|| row.branch.clone());
    environments::set_branch(&mut transaction, caller.organisation, row.id, branch.as_deref())
        .await?;
    // After the update of the environment, whose lock makes changes to its processes wait.
    let mut process = web(&mut transaction, &caller, &row).await?;
    body.apply(&mut process);
    environments::put_process(&mut transaction, caller.organisation, &process).await?;
    let detail = json!({ "replicas": body.replicas, "branch": branch });
    caller.audit(&mut transaction, "environment.update", row.id, detail).await?;
    let row = named::environment(&mut transaction, &caller, &project, &row.id.to_string()).await?;
    let view = show(&mut transaction, &app, &caller, row).await?;
    caller.conclude(transaction, Json(view)).await
}

async fn web(
    connection: &mut PgConnection,
    who: &Who,
    row: &environments::Environment,
) -> Answer<Process> {
    let processes = environments::processes(connection, who.organisation, &[row.id]).await?;
    let web = processes.into_iter().find(|process| process.name == WEB);
    Ok(web.unwrap_or_else(|| Process {
        environment_id: row.id,
        name: WEB.to_owned(),
        replicas: 1,
        configuration: zeitwork_model::environment::ProcessConfiguration::default().into(),
    }))
}

#[utoipa::path(delete, path = "/projects/{project}/environments/{environment}",
    tag = "environments", operation_id = "delete_environment", params(
        ("project" = String, Path, description = "Id or slug"),
        ("environment" = String, Path, description = "Id or name")),
    responses((status = 204, description = "Deleted; what runs is taken down")))]
/// Deletes an environment; production goes only with its project.
pub async fn delete(
    State(app): State<App>,
    caller: Caller<can::WriteProjects>,
    Path(names): Path<(String, String)>,
) -> Answer<Response> {
    let mut transaction = app.database.begin().await?;
    let (_, row) = named::pair(&mut transaction, &caller, &names).await?;
    if row.kind == EnvironmentKind::Production {
        return Err(Problem::conflict("Production goes only with its project.").into());
    }
    environments::delete(&mut transaction, caller.organisation, row.id).await?;
    let detail = json!({ "name": row.name });
    caller.audit(&mut transaction, "environment.delete", row.id, detail).await?;
    caller.conclude(transaction, StatusCode::NO_CONTENT).await
}
