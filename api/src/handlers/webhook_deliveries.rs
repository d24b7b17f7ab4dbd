//! Stored webhook deliveries: of a project, and all of them for the platform's owner.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::json;
use zeitwork_database::webhook_deliveries;
use zeitwork_model::id::DeliveryId;
use zeitwork_model::page::Page;
use zeitwork_web::Problem;

use super::accepted;
use crate::error::Answer;
use crate::extract::{Caller, Id, PageQuery, can, named};
use crate::state::App;
use crate::views::system::WebhookDelivery;

#[utoipa::path(get, path = "/projects/{project}/webhook-deliveries", tag = "webhooks",
    operation_id = "list_webhook_deliveries",
    params(("project" = String, Path, description = "Id or slug"), PageQuery),
    responses((status = 200, body = Page<WebhookDelivery>)))]
/// Deliveries about the project's repository, newest first.
pub async fn list(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Path(project): Path<String>,
    page: PageQuery,
) -> Answer<Json<Page<WebhookDelivery>>> {
    let mut connection = app.database.acquire().await?;
    let project = named::project(&mut connection, &caller, &project).await?.id;
    let (organisation, before, rows) = (caller.organisation, page.after()?, page.rows());
    let rows =
        webhook_deliveries::list_of_project(&mut connection, organisation, project, before, rows)
            .await?;
    Ok(Json(page.finish(rows, |row| row.id, WebhookDelivery::from)))
}

#[utoipa::path(post, path = "/projects/{project}/webhook-deliveries/{delivery}/replay",
    tag = "webhooks", operation_id = "replay_webhook_delivery", params(
        ("project" = String, Path, description = "Id or slug"),
        ("delivery" = DeliveryId, Path, description = "Id")),
    responses((status = 202, body = WebhookDelivery)))]
/// Handles a delivery again.
pub async fn replay(
    State(app): State<App>,
    caller: Caller<can::ReplayDeliveries>,
    Path((project, delivery)): Path<(String, String)>,
) -> Answer<Response> {
    let id: DeliveryId = delivery.parse().map_err(|_| Problem::not_found())?;
    let mut transaction = app.database.begin().await?;
    let project = named::project(&mut transaction, &caller, &project).await?.id;
    let scope = Some((caller.organisation, project));
    let row = webhook_deliveries::replay(&mut transaction, scope, id).await?;
    let row = row.ok_or_else(Problem::not_found)?;
    caller.audit(&mut transaction, "webhook_delivery.replay", id, json!({})).await?;
    caller
        .conclude(
            transaction,
            accepted(
                format!("/api/v1/projects/{project}/webhook-deliveries"),
                WebhookDelivery::from(row),
            ),
        )
        .await
}

#[utoipa::path(get, path = "/system/webhook-deliveries", tag = "system",
    operation_id = "list_all_webhook_deliveries", params(PageQuery),
    responses((status = 200, body = Page<WebhookDelivery>)))]
/// All deliveries, newest first.
pub async fn list_all(
    State(app): State<App>,
    _caller: Caller<can::ReadSystem>,
    page: PageQuery,
) -> Answer<Json<Page<WebhookDelivery>>> {
    let mut connection = app.database.acquire().await?;
    let rows = webhook_deliveries::list(&mut connection, page.after()?, page.rows()).await?;
    Ok(Json(page.finish(rows, |row| row.id, WebhookDelivery::from)))
}

#[utoipa::path(post, path = "/system/webhook-deliveries/{delivery}/replay", tag = "system",
    operation_id = "replay_any_webhook_delivery",
    params(("delivery" = DeliveryId, Path, description = "Id")),
    responses((status = 202, body = WebhookDelivery)))]
/// Handles any delivery again.
pub async fn replay_any(
    State(app): State<App>,
    caller: Caller<can::ReadSystem>,
    Id(id): Id<DeliveryId>,
) -> Answer<Response> {
    let mut transaction = app.database.begin().await?;
    let row = webhook_deliveries::replay(&mut transaction, None, id).await?;
    let row = row.ok_or_else(Problem::not_found)?;
    caller.audit(&mut transaction, "webhook_delivery.replay", id, json!({})).await?;
    caller
        .conclude(
            transaction,
            accepted("/api/v1/system/webhook-deliveries".to_owned(), WebhookDelivery::from(row)),
        )
        .await
}
