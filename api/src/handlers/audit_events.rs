//! Who did what.

use axum::Json;
use axum::extract::{Path, State};
use zeitwork_database::audit_events;
use zeitwork_model::page::Page;

use super::organisations;
use crate::error::Answer;
use crate::extract::{Caller, PageQuery, can};
use crate::state::App;
use crate::views::organisation::AuditEvent;

#[utoipa::path(get, path = "/organisations/{organisation}/audit-events", tag = "organisations",
    operation_id = "list_audit_events",
    params(("organisation" = String, Path, description = "Id or slug"), PageQuery),
    responses((status = 200, body = Page<AuditEvent>)))]
/// The organisation's audit journal, newest first.
pub async fn list(
    State(app): State<App>,
    caller: Caller<can::ReadAudit>,
    Path(organisation): Path<String>,
    page: PageQuery,
) -> Answer<Json<Page<AuditEvent>>> {
    let mut connection = app.database.acquire().await?;
    let organisation = organisations::find(&mut connection, &caller, &organisation).await?.id;
    let before = page.after()?;
    let rows = audit_events::list(&mut connection, organisation, before, page.rows()).await?;
    Ok(Json(page.finish(rows, |row| row.id, AuditEvent::from)))
}
