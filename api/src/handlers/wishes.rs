//! Wishes for what was there before: rollback and redeploy.

use axum::extract::{Path, State};
use axum::response::Response;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use zeitwork_database::PgConnection;
use zeitwork_database::deployments::{self, Filter};
use zeitwork_database::wishes::Wanted;
use zeitwork_model::environment::Trigger;
use zeitwork_model::id::{DeploymentId, EnvironmentId};
use zeitwork_web::Problem;

use super::Found;
use super::deployments::wish;
use crate::error::Answer;
use crate::extract::valid::MaybeValid;
use crate::extract::{Caller, Who, can, named};
use crate::state::App;
use crate::views::deployment::Deployment;

/// Which deployment to go back to.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RollbackTarget)]
pub struct Rollback {
    /// Its id; absent: the one that was live before.
    #[serde(default)]
    #[garde(skip)]
    deployment: Option<DeploymentId>,
}

#[utoipa::path(post, path = "/projects/{project}/environments/{environment}/rollback",
    tag = "environments", operation_id = "roll_back", request_body = Option<Rollback>, params(
        ("project" = String, Path, description = "Id or slug"),
        ("environment" = String, Path, description = "Id or name")),
    responses((status = 202, body = Deployment)))]
/// Makes an older deployment live again, with its own variables; where its image is lost, a new deployment of the same.
pub async fn roll_back(
    State(app): State<App>,
    caller: Caller<can::Deploy>,
    Path(names): Path<(String, String)>,
    MaybeValid(body): MaybeValid<Rollback>,
) -> Answer<Response> {
    let mut transaction = app.database.begin().await?;
    let (_, environment) = named::pair(&mut transaction, &caller, &names).await?;
    let (organisation, id) = (caller.organisation, environment.id);
    let target = match body.deployment {
        Some(target) => Some(target),
        None => deployments::live_before(&mut transaction, organisation, id).await?,
    };
    let target = target.ok_or_else(|| Problem::conflict("Nothing was live before."))?;
    let wanted = Wanted::Again(target);
    let view = wish(&mut transaction, &app, &caller, id, wanted, Trigger::Rollback).await?;
    caller.conclude(transaction, view).await
}

#[utoipa::path(post, path = "/projects/{project}/environments/{environment}/redeploy",
    tag = "environments", operation_id = "redeploy", params(
        ("project" = String, Path, description = "Id or slug"),
        ("environment" = String, Path, description = "Id or name")),
    responses((status = 202, body = Deployment)))]
/// Deploys the live commit (or the newest, where none is live) with today's configuration.
pub async fn redeploy(
    State(app): State<App>,
    caller: Caller<can::Deploy>,
    Path(names): Path<(String, String)>,
) -> Answer<Response> {
    let mut transaction = app.database.begin().await?;
    let (_, environment) = named::pair(&mut transaction, &caller, &names).await?;
    let live = deployments::live(&mut transaction, caller.organisation, environment.id).await?;
    let row = match live {
        Some(row) => Some(row),
        None => newest(&mut transaction, &caller, environment.id).await?,
    };
    let row = row.ok_or_else(|| Problem::conflict("Nothing was deployed here yet."))?;
    let view = again(&mut transaction, &app, &caller, environment.id, &row).await?;
    caller.conclude(transaction, view).await
}

async fn newest(
    connection: &mut PgConnection,
    who: &Who,
    environment: EnvironmentId,
) -> Answer<Option<deployments::Deployment>> {
    let filter = Filter { environment: Some(environment), ..Filter::default() };
    Ok(deployments::list(connection, who.organisation, filter, None, 1).await?.pop())
}

/// A new deployment of the same commit (or reference, where it was never resolved).
pub async fn again(
    connection: &mut PgConnection,
    app: &App,
    who: &Who,
    environment: EnvironmentId,
    row: &deployments::Deployment,
) -> Answer<Found<Deployment>> {
    let wanted = Wanted::New {
        reference: row.reference.as_deref().filter(|_| row.commit_sha.is_none()),
        commit: row.commit_sha.as_deref(),
        message: &row.message,
        author: "",
    };
    wish(connection, app, who, environment, wanted, Trigger::Redeploy).await
}

/// Deploys what is live again; nothing where nothing is.
pub async fn redeploy_live(
    connection: &mut PgConnection,
    app: &App,
    who: &Who,
    environment: EnvironmentId,
) -> Answer<()> {
    if let Some(row) = deployments::live(connection, who.organisation, environment).await? {
        again(connection, app, who, environment, &row).await?;
    }
    Ok(())
}
