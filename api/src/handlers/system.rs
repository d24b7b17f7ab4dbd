//! What the platform says of itself, for its owner.

use axum::Json;
use axum::extract::State;
use zeitwork_database::{installation, system};
use zeitwork_model::page::Page;

use crate::error::Answer;
use crate::extract::{Caller, PageQuery, can};
use crate::state::App;
use crate::views::system::{Consistency, ReconcilerReport, Version};

#[utoipa::path(get, path = "/system/reconcilers", tag = "system",
    operation_id = "list_reconcilers", params(PageQuery),
    responses((status = 200, body = Page<ReconcilerReport>)))]
/// What each loop of the operator did last, by name.
pub async fn reconcilers(
    State(app): State<App>,
    _caller: Caller<can::ReadSystem>,
    page: PageQuery,
) -> Answer<Json<Page<ReconcilerReport>>> {
    let mut connection = app.database.acquire().await?;
    let after = page.after::<String>()?;
    let rows = system::reconcilers(&mut connection, after.as_deref(), page.rows()).await?;
    Ok(Json(page.finish(rows, |row| row.name.clone(), ReconcilerReport::from)))
}

#[utoipa::path(get, path = "/system/consistency", tag = "system",
    operation_id = "check_consistency", responses((status = 200, body = Consistency)))]
/// Whether what must hold holds.
pub async fn consistency(
    State(app): State<App>,
    _caller: Caller<can::ReadSystem>,
) -> Answer<Json<Consistency>> {
    let mut connection = app.database.acquire().await?;
    Ok(Json(system::consistency(&mut connection).await?.into()))
}

#[utoipa::path(get, path = "/system/version", tag = "system", operation_id = "get_version",
    responses((status = 200, body = Version)))]
/// Which program and installation answer.
pub async fn version(
    State(app): State<App>,
    _caller: Caller<can::ReadSystem>,
) -> Answer<Json<Version>> {
    let mut connection = app.database.acquire().await?;
    let installation = installation::read(&mut connection).await?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(Json(Version { version, installation: installation.id }))
}
