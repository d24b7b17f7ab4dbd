//! Organisations: the platform's owner makes them, everybody sees their own.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use garde::Validate;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use zeitwork_auth::{Action, allows};
use zeitwork_database::{PgConnection, organisations};
use zeitwork_model::id::OrganisationId;
use zeitwork_model::name::{check_slug, slug_of};
use zeitwork_model::page::Page;
use zeitwork_web::Problem;

use super::created;
use crate::error::{Answer, taken};
use crate::extract::{Caller, PageQuery, Valid, Who, can};
use crate::input;
use crate::state::App;
use crate::views::organisation::Organisation;

/// An organisation to be made.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOrganisation)]
pub struct CreateOrganisation {
    /// For people.
    #[garde(custom(input::title))]
    name: String,
    /// Unique in the installation; made from the name if absent.
    #[serde(default)]
    #[garde(custom(input::option(input::slug)))]
    slug: Option<String>,
}

#[utoipa::path(post, path = "/organisations", tag = "organisations",
    operation_id = "create_organisation", request_body = CreateOrganisation,
    responses((status = 201, body = Organisation)))]
/// Makes an organisation.
pub async fn create(
    State(app): State<App>,
    caller: Caller<can::ManageOrganisations>,
    Valid(body): Valid<CreateOrganisation>,
) -> Answer<Response> {
    let slug = body.slug.clone().unwrap_or_else(|| slug_of(&body.name));
    check_slug(&slug)
        .map_err(|rule| Problem::invalid("/slug", "invalid", format!("the slug {rule}")))?;
    let mut transaction = app.database.begin().await?;
    let id = OrganisationId::new();
    let row = organisations::insert(&mut transaction, id, &slug, &body.name)
        .await
        .map_err(taken("organisations_slug", "/slug"))?;
    caller.audit(&mut transaction, "organisation.create", id, json!({ "slug": slug })).await?;
    let view = Organisation::from(row);
    caller.conclude(transaction, created(format!("/api/v1/organisations/{id}"), view)).await
}

#[utoipa::path(get, path = "/organisations", tag = "organisations",
    operation_id = "list_organisations", params(PageQuery),
    responses((status = 200, body = Page<Organisation>)))]
/// The caller's organisation; all of them for the platform's owner.
pub async fn list(
    State(app): State<App>,
    caller: Caller<can::ReadOrganisation>,
    page: PageQuery,
) -> Answer<Json<Page<Organisation>>> {
    let mut connection = app.database.acquire().await?;
    let before = page.after()?;
    let rows = if allows(&[caller.scope], Action::ManageOrganisations) {
        organisations::list(&mut connection, before, page.rows()).await?
    } else {
        let own = organisations::get(&mut connection, caller.organisation).await?;
        own.into_iter().filter(|row| before.is_none_or(|before| row.id < before)).collect()
    };
    Ok(Json(page.finish(rows, |row| row.id, Organisation::from)))
}

#[utoipa::path(get, path = "/organisations/{organisation}", tag = "organisations",
    operation_id = "get_organisation",
    params(("organisation" = String, Path, description = "Id or slug")),
    responses((status = 200, body = Organisation)))]
/// One organisation.
pub async fn get(
    State(app): State<App>,
    caller: Caller<can::ReadOrganisation>,
    Path(organisation): Path<String>,
) -> Answer<Json<Organisation>> {
    let mut connection = app.database.acquire().await?;
    Ok(Json(find(&mut connection, &caller, &organisation).await?.into()))
}

/// The caller's organisation, or any for the platform's owner.
pub async fn find(
    connection: &mut PgConnection,
    who: &Who,
    name: &str,
) -> Answer<organisations::Organisation> {
    let row = match name.parse() {
        Ok(id) => organisations::get(connection, id).await?,
        Err(_) if check_slug(name).is_err() => None,
        Err(_) => organisations::find(connection, name).await?,
    };
    let everywhere = allows(&[who.scope], Action::ManageOrganisations);
    let row = row.filter(|row| everywhere || row.id == who.organisation);
    Ok(row.ok_or_else(Problem::not_found)?)
}
