//! Instances.

use axum::Json;
use axum::extract::State;
use garde::Validate;
use serde::Deserialize;
use utoipa::IntoParams;
use zeitwork_database::instances::{self, Filter};
use zeitwork_model::id::{DeploymentId, EnvironmentId, InstanceId, ProjectId};
use zeitwork_model::instance::InstanceStatus;
use zeitwork_model::page::Page;
use zeitwork_web::Problem;

use crate::error::Answer;
use crate::extract::{Caller, Id, PageQuery, ValidQuery, can};
use crate::state::App;
use crate::views::deployment::Instance;

/// Which instances.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct InstanceQuery {
    /// Of one project.
    #[serde(default)]
    #[garde(skip)]
    project: Option<ProjectId>,
    /// Of one environment.
    #[serde(default)]
    #[garde(skip)]
    environment: Option<EnvironmentId>,
    /// Of one deployment.
    #[serde(default)]
    #[garde(skip)]
    deployment: Option<DeploymentId>,
    /// In one state.
    #[serde(default)]
    #[garde(skip)]
    status: Option<InstanceStatus>,
}

#[utoipa::path(get, path = "/instances", tag = "instances", operation_id = "list_instances",
    params(InstanceQuery, PageQuery), responses((status = 200, body = Page<Instance>)))]
/// The organisation's instances, newest first.
pub async fn list(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    ValidQuery(query): ValidQuery<InstanceQuery>,
    page: PageQuery,
) -> Answer<Json<Page<Instance>>> {
    let mut connection = app.database.acquire().await?;
    let filter = Filter {
        project: query.project,
        environment: query.environment,
        deployment: query.deployment,
        status: query.status,
        running: false,
    };
    let (organisation, before) = (caller.organisation, page.after()?);
    let rows = instances::list(&mut connection, organisation, filter, before, page.rows()).await?;
    Ok(Json(page.finish(rows, |row| row.id, Instance::from)))
}

#[utoipa::path(get, path = "/instances/{instance}", tag = "instances",
    operation_id = "get_instance",
    params(("instance" = InstanceId, Path, description = "Id")),
    responses((status = 200, body = Instance)))]
/// One instance.
pub async fn get(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Id(id): Id<InstanceId>,
) -> Answer<Json<Instance>> {
    let mut connection = app.database.acquire().await?;
    let row = instances::get(&mut connection, caller.organisation, id).await?;
    Ok(Json(row.ok_or_else(Problem::not_found)?.into()))
}
