//! Deployments.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use garde::Validate;
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use zeitwork_database::PgConnection;
use zeitwork_database::deployments::{self, Filter};
use zeitwork_database::events::{self, NewEvent};
use zeitwork_database::wishes::{self, NewWish, Wanted};
use zeitwork_model::deployment::DeploymentStatus;
use zeitwork_model::environment::Trigger;
use zeitwork_model::id::{DeploymentId, EnvironmentId};
use zeitwork_model::page::Page;
use zeitwork_web::Problem;

use super::{Found, accepted};
use crate::error::Answer;
use crate::extract::{Caller, Id, PageQuery, Valid, ValidQuery, Who, can, named};
use crate::input;
use crate::state::App;
use crate::views::deployment::Deployment;

/// What shall be deployed: a branch, a tag or a commit.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewDeployment)]
pub struct CreateDeployment {
    /// Name or id of the environment.
    #[garde(length(max = 64))]
    environment: String,
    /// A branch or tag; its newest commit is deployed.
    #[serde(default, rename = "ref")]
    #[garde(custom(input::option(input::reference)))]
    reference: Option<String>,
    /// A full commit id.
    #[serde(default)]
    #[garde(custom(input::option(input::commit)))]
    commit: Option<String>,
}

#[utoipa::path(post, path = "/projects/{project}/deployments", tag = "deployments",
    operation_id = "create_deployment", request_body = CreateDeployment,
    params(("project" = String, Path, description = "Id or slug")),
    responses((status = 202, body = Deployment)))]
/// Deploys a branch, tag or commit to an environment.
pub async fn create(
    State(app): State<App>,
    caller: Caller<can::Deploy>,
    Path(project): Path<String>,
    Valid(body): Valid<CreateDeployment>,
) -> Answer<Response> {
    if body.reference.is_some() == body.commit.is_some() {
        let text = "name either a ref or a commit";
        return Err(Problem::invalid("/ref", "one_of", text).into());
    }
    let mut transaction = app.database.begin().await?;
    let project = named::project(&mut transaction, &caller, &project).await?;
    let environment = named::environment(&mut transaction, &caller, &project, &body.environment)
        .await
        .map_err(|refusal| refusal.of_field("/environment"))?;
    let (reference, commit_sha) = (body.reference.as_deref(), body.commit.as_deref());
    let wanted = Wanted::New { reference, commit: commit_sha, message: "", author: "" };
    let view =
        wish(&mut transaction, &app, &caller, environment.id, wanted, Trigger::Manual).await?;
    caller.conclude(transaction, view).await
}

/// Records a wish of the caller, and answers with its deployment.
pub async fn wish(
    connection: &mut PgConnection,
    app: &App,
    who: &Who,
    environment: EnvironmentId,
    wanted: Wanted<'_>,
    trigger: Trigger,
) -> Answer<Found<Deployment>> {
    let new = NewWish {
        organisation_id: who.organisation,
        environment_id: environment,
        wanted,
        trigger,
        actor: &who.actor(),
        delivery_id: None,
        request_id: Some(&who.request_id),
    };
    let wish = wishes::record(connection, &new).await?;
    let detail = json!({
        "environment": environment, "trigger": trigger, "generation": wish.generation,
    });
    who.audit(connection, "deployment.wish", wish.deployment_id, detail).await?;
    let view = show(connection, app, who, wish.deployment_id).await?;
    Ok(accepted(format!("/api/v1/deployments/{}", view.id), view))
}

async fn show(
    connection: &mut PgConnection,
    app: &App,
    who: &Who,
    id: DeploymentId,
) -> Answer<Deployment> {
    let row = deployments::get(connection, who.organisation, id).await?;
    Ok(Deployment::new(&app.config, row.ok_or_else(Problem::not_found)?))
}

/// Which deployments.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeploymentQuery {
    /// Name or id of an environment.
    #[serde(default)]
    #[garde(length(max = 64))]
    environment: Option<String>,
    /// In one state.
    #[serde(default)]
    #[garde(skip)]
    status: Option<DeploymentStatus>,
}

#[utoipa::path(get, path = "/projects/{project}/deployments", tag = "deployments",
    operation_id = "list_deployments", params(
        ("project" = String, Path, description = "Id or slug"), DeploymentQuery, PageQuery),
    responses((status = 200, body = Page<Deployment>)))]
/// The project's deployments, newest first.
pub async fn list(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Path(project): Path<String>,
    ValidQuery(query): ValidQuery<DeploymentQuery>,
    page: PageQuery,
) -> Answer<Json<Page<Deployment>>> {
    let mut connection = app.database.acquire().await?;
    let project = named::project(&mut connection, &caller, &project).await?;
    let environment = match &query.environment {
        Some(name) => Some(named::environment(&mut connection, &caller, &project, name).await?.id),
        None => None,
    };
    let filter = Filter { project: Some(project.id), environment, status: query.status };
    let before = page.after()?;
    let organisation = caller.organisation;
    let rows =
        deployments::list(&mut connection, organisation, filter, before, page.rows()).await?;
    Ok(Json(page.finish(rows, |row| row.id, |row| Deployment::new(&app.config, row))))
}

#[utoipa::path(get, path = "/deployments/{deployment}", tag = "deployments",
    operation_id = "get_deployment",
    params(("deployment" = DeploymentId, Path, description = "Id")),
    responses((status = 200, body = Deployment)))]
/// One deployment.
pub async fn get(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Id(id): Id<DeploymentId>,
) -> Answer<Json<Deployment>> {
    let mut connection = app.database.acquire().await?;
    Ok(Json(show(&mut connection, &app, &caller, id).await?))
}

#[utoipa::path(post, path = "/deployments/{deployment}/cancel", tag = "deployments",
    operation_id = "cancel_deployment",
    params(("deployment" = DeploymentId, Path, description = "Id")),
    responses((status = 202, body = Deployment)))]
/// Cancels a deployment that is not live yet; what was live stays live.
pub async fn cancel(
    State(app): State<App>,
    caller: Caller<can::Deploy>,
    Id(id): Id<DeploymentId>,
) -> Answer<Response> {
    let mut transaction = app.database.begin().await?;
    let text = format!("cancelled by {}", caller.actor());
    deployments::cancel(&mut transaction, caller.organisation, id, &text).await?;
    caller.audit(&mut transaction, "deployment.cancel", id, json!({})).await?;
    let view = show(&mut transaction, &app, &caller, id).await?;
    let event = NewEvent {
        organisation_id: caller.organisation,
        environment_id: view.environment_id,
        kind: "deployment.cancelled",
        text: &text,
        deployment_id: Some(id),
        instance_id: None,
        actor: &caller.actor(),
        request_id: Some(&caller.request_id),
    };
    events::append(&mut transaction, &event).await?;
    caller.conclude(transaction, accepted(format!("/api/v1/deployments/{id}"), view)).await
}
