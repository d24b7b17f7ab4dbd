//! GitHub installations: everybody sees those of the own organisation; the platform's owner sees
//! all and gives them out.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use garde::Validate;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use zeitwork_auth::{Action, allows};
use zeitwork_database::github_installations::{self as installations, Installation};
use zeitwork_database::{PgConnection, webhook_deliveries};
use zeitwork_model::page::Page;
use zeitwork_web::Problem;

use super::organisations;
use crate::error::Answer;
use crate::extract::{Caller, Id, PageQuery, Valid, Who, can};
use crate::state::App;
use crate::views::system::GithubInstallation;

/// Whether the caller sees and moves those of other organisations, and those of nobody.
fn sees_all(who: &Who) -> bool {
    allows(&[who.scope], Action::AssignInstallations)
}

#[utoipa::path(get, path = "/github/installations", tag = "github",
    operation_id = "list_github_installations", params(PageQuery),
    responses((status = 200, body = Page<GithubInstallation>)))]
/// The GitHub installations of the organisation; all of them, also those that nobody has yet, for
/// the platform's owner.
pub async fn list(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    page: PageQuery,
) -> Answer<Json<Page<GithubInstallation>>> {
    let mut connection = app.database.acquire().await?;
    let organisation = (!sees_all(&caller)).then_some(caller.organisation);
    let before = page.after()?;
    let rows = installations::list(&mut connection, organisation, before, page.rows()).await?;
    Ok(Json(page.finish(rows, |row| row.installation_id, GithubInstallation::from)))
}

/// Who shall have an installation.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstallationHolder {
    /// Id or slug of the organisation.
    #[garde(length(max = 64))]
    organisation: String,
}

#[utoipa::path(put, path = "/github/installations/{installation}", tag = "github",
    operation_id = "assign_github_installation", request_body = InstallationHolder,
    params(("installation" = i64, Path, description = "GitHub's number")),
    responses((status = 200, body = GithubInstallation)))]
/// Gives an installation that nobody or the caller's own organisation has to an organisation:
/// its projects may then use every repository of that installation. Pushes that were ignored
/// because nobody had it are looked at again.
pub async fn assign(
    State(app): State<App>,
    caller: Caller<can::AssignInstallations>,
    Id(id): Id<i64>,
    Valid(body): Valid<InstallationHolder>,
) -> Answer<Response> {
    let mut transaction = app.database.begin().await?;
    let held = lock(&mut transaction, &caller, id).await?;
    let found = organisations::find(&mut transaction, &caller, &body.organisation).await;
    let to = found.map_err(|refusal| refusal.of_field("/organisation"))?.id;
    if held.organisation_id.is_some_and(|holder| holder != to && holder != caller.organisation) {
        let text = "Another organisation has this installation: release it first.";
        return Err(Problem::conflict(text).into());
    }
    if held.organisation_id != Some(to) {
        installations::give(&mut transaction, id, Some(to)).await?;
        webhook_deliveries::take_up(&mut transaction, id).await?;
        let detail = json!({ "account": held.account, "organisation": to });
        for concerned in held.organisation_id.into_iter().chain([to]) {
            let journal = caller.within(concerned);
            let action = "github_installation.assign";
            journal.audit(&mut transaction, action, id, detail.clone()).await?;
        }
    }
    let view = GithubInstallation::from(Installation { organisation_id: Some(to), ..held });
    caller.conclude(transaction, Json(view)).await
}

#[utoipa::path(delete, path = "/github/installations/{installation}", tag = "github",
    operation_id = "release_github_installation",
    params(("installation" = i64, Path, description = "GitHub's number")),
    responses((status = 204, description = "Nobody has it now; what runs goes on")))]
/// Takes an installation from the organisation that has it. Projects that used it wait until it
/// is given to theirs again. GitHub is not told: the App stays installed there.
pub async fn release(
    State(app): State<App>,
    caller: Caller<can::ReleaseInstallations>,
    Id(id): Id<i64>,
) -> Answer<Response> {
    let mut transaction = app.database.begin().await?;
    let held = lock(&mut transaction, &caller, id).await?;
    if let Some(holder) = held.organisation_id {
        installations::give(&mut transaction, id, None).await?;
        let detail = json!({ "account": held.account });
        let journal = caller.within(holder);
        journal.audit(&mut transaction, "github_installation.release", id, detail).await?;
    }
    caller.conclude(transaction, StatusCode::NO_CONTENT).await
}

/// An installation that the caller may see, under its lock.
async fn lock(connection: &mut PgConnection, who: &Who, id: i64) -> Answer<Installation> {
    let found = installations::lock(connection, id).await?;
    let own = |row: &Installation| row.organisation_id == Some(who.organisation);
    let seen = found.filter(|row| sees_all(who) || own(row));
    Ok(seen.ok_or_else(Problem::not_found)?)
}
