//! GitHub installations.

use axum::Json;
use axum::extract::State;
use zeitwork_database::system;
use zeitwork_model::page::Page;

use crate::error::Answer;
use crate::extract::{Caller, PageQuery, can};
use crate::state::App;
use crate::views::system::GithubInstallation;

#[utoipa::path(get, path = "/github/installations", tag = "github",
    operation_id = "list_github_installations", params(PageQuery),
    responses((status = 200, body = Page<GithubInstallation>)))]
/// The GitHub installations that the organisation has claimed.
pub async fn installations(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    page: PageQuery,
) -> Answer<Json<Page<GithubInstallation>>> {
    let mut connection = app.database.acquire().await?;
    let (organisation, before) = (caller.organisation, page.after()?);
    let rows =
        system::github_installations(&mut connection, organisation, before, page.rows()).await?;
    Ok(Json(page.finish(rows, |row| row.installation_id, GithubInstallation::from)))
}
