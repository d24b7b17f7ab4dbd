//! Builds.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use garde::Validate;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use zeitwork_database::builds::{self, Filter};
use zeitwork_database::{PgConnection, deployments};
use zeitwork_model::build::BuildStatus;
use zeitwork_model::id::BuildId;
use zeitwork_model::page::Page;
use zeitwork_web::Problem;

use super::accepted;
use super::wishes::again;
use crate::error::Answer;
use crate::extract::{Caller, Id, PageQuery, ValidQuery, Who, can, named};
use crate::state::App;
use crate::views::deployment::{Build, Deployment};

/// Which builds.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BuildQuery {
    /// In one state.
    #[serde(default)]
    #[garde(skip)]
    status: Option<BuildStatus>,
}

#[utoipa::path(get, path = "/projects/{project}/builds", tag = "builds",
    operation_id = "list_builds",
    params(("project" = String, Path, description = "Id or slug"), BuildQuery, PageQuery),
    responses((status = 200, body = Page<Build>)))]
/// The project's builds, newest first.
pub async fn list(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Path(project): Path<String>,
    ValidQuery(query): ValidQuery<BuildQuery>,
    page: PageQuery,
) -> Answer<Json<Page<Build>>> {
    let mut connection = app.database.acquire().await?;
    let project = named::project(&mut connection, &caller, &project).await?;
    let filter = Filter { project: Some(project.id), status: query.status };
    let (organisation, before) = (caller.organisation, page.after()?);
    let rows = builds::list(&mut connection, organisation, filter, before, page.rows()).await?;
    Ok(Json(page.finish(rows, |row| row.id, Build::from)))
}

async fn find(connection: &mut PgConnection, who: &Who, id: BuildId) -> Answer<builds::Build> {
    let row = builds::get(connection, who.organisation, id).await?;
    Ok(row.ok_or_else(Problem::not_found)?)
}

#[utoipa::path(get, path = "/builds/{build}", tag = "builds", operation_id = "get_build",
    params(("build" = BuildId, Path, description = "Id")),
    responses((status = 200, body = Build)))]
/// One build.
pub async fn get(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Id(id): Id<BuildId>,
) -> Answer<Json<Build>> {
    let mut connection = app.database.acquire().await?;
    Ok(Json(find(&mut connection, &caller, id).await?.into()))
}

#[utoipa::path(post, path = "/builds/{build}/cancel", tag = "builds",
    operation_id = "cancel_build", params(("build" = BuildId, Path, description = "Id")),
    responses((status = 202, body = Build)))]
/// Ends a build that is queued or running.
pub async fn cancel(
    State(app): State<App>,
    caller: Caller<can::Deploy>,
    Id(id): Id<BuildId>,
) -> Answer<Response> {
    let mut transaction = app.database.begin().await?;
    builds::request_cancel(&mut transaction, caller.organisation, id).await?;
    caller.audit(&mut transaction, "build.cancel", id, json!({})).await?;
    let view = Build::from(find(&mut transaction, &caller, id).await?);
    caller.conclude(transaction, accepted(format!("/api/v1/builds/{id}"), view)).await
}

#[utoipa::path(post, path = "/builds/{build}/retry", tag = "builds",
    operation_id = "retry_build", params(("build" = BuildId, Path, description = "Id")),
    responses((status = 202, body = Deployment)))]
/// Builds the same commit once more, as a new deployment with today's configuration.
pub async fn retry(
    State(app): State<App>,
    caller: Caller<can::Deploy>,
    Id(id): Id<BuildId>,
) -> Answer<Response> {
    let mut transaction = app.database.begin().await?;
    let build = find(&mut transaction, &caller, id).await?;
    if !build.status.is_final() {
        return Err(Problem::conflict("The build has not ended yet.").into());
    }
    let organisation = caller.organisation;
    let of_build = deployments::of_build(&mut transaction, organisation, id).await?;
    let deployment = match of_build {
        Some(deployment) => deployments::get(&mut transaction, organisation, deployment).await?,
        None => None,
    };
    let row = deployment.ok_or_else(|| Problem::conflict("No deployment waits for this build."))?;
    let view = again(&mut transaction, &app, &caller, row.environment_id, &row).await?;
    caller.conclude(transaction, view).await
}
