//! Domains.

use axum::Json;
use axum::extract::{Path, State};
use zeitwork_database::domains;
use zeitwork_model::page::Page;

use crate::error::Answer;
use crate::extract::{Caller, PageQuery, can, named};
use crate::state::App;
use crate::views::project::Domain;

#[utoipa::path(get, path = "/projects/{project}/domains", tag = "domains",
    operation_id = "list_domains",
    params(("project" = String, Path, description = "Id or slug"), PageQuery),
    responses((status = 200, body = Page<Domain>)))]
/// What leads to the project's environments, newest first.
pub async fn list(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Path(project): Path<String>,
    page: PageQuery,
) -> Answer<Json<Page<Domain>>> {
    let mut connection = app.database.acquire().await?;
    let project = named::project(&mut connection, &caller, &project).await?;
    let (organisation, before) = (caller.organisation, page.after()?);
    let rows =
        domains::list(&mut connection, organisation, project.id, before, page.rows()).await?;
    Ok(Json(page.finish(rows, |row| row.id, Domain::from)))
}
