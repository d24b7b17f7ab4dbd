//! API keys.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use garde::Validate;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use time::serde::rfc3339;
use utoipa::ToSchema;
use zeitwork_auth::ApiKey;
use zeitwork_auth::permission::may_grant;
use zeitwork_database::api_keys::{self, NewApiKey};
use zeitwork_database::{PgConnection, installation};
use zeitwork_model::id::{ApiKeyId, OrganisationId};
use zeitwork_model::page::Page;
use zeitwork_model::scope::Scope;
use zeitwork_web::{Code, Problem};

use super::{created, organisations};
use crate::error::Answer;
use crate::extract::{Caller, PageQuery, Valid, can};
use crate::input;
use crate::quota::API_KEYS;
use crate::state::App;
use crate::views::organisation::{Key, ShownKey};

/// A key to be made.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApiKey)]
pub struct CreateKey {
    /// For people.
    #[garde(custom(input::title))]
    name: String,
    /// What it may do; never more than the caller's own key.
    #[garde(skip)]
    scope: Scope,
    /// When it ends by itself; absent: never.
    #[serde(default, with = "rfc3339::option")]
    #[garde(skip)]
    expires_at: Option<OffsetDateTime>,
}

#[utoipa::path(post, path = "/organisations/{organisation}/api-keys", tag = "organisations",
    operation_id = "create_api_key", request_body = CreateKey,
    params(("organisation" = String, Path, description = "Id or slug")),
    responses((status = 201, body = ShownKey, description = "The only answer with the key")))]
/// Makes a key, which is shown once.
pub async fn create(
    State(app): State<App>,
    caller: Caller<can::ManageKeys>,
    Path(organisation): Path<String>,
    Valid(body): Valid<CreateKey>,
) -> Answer<Response> {
    let mut transaction = app.database.begin().await?;
    let organisation = organisations::find(&mut transaction, &caller, &organisation).await?.id;
    if !may_grant(&[caller.scope], body.scope) {
        let text = "A key cannot hand out more than it may itself.";
        return Err(Problem::new(Code::Forbidden).detail(text).into());
    }
    let key = ApiKey::generate();
    let row = insert(&mut transaction, organisation, &key, &body).await?;
    let detail = json!({ "scope": body.scope });
    let journal = caller.within(organisation);
    journal.audit(&mut transaction, "api_key.create", row.id, detail).await?;
    let location = format!("/api/v1/organisations/{organisation}/api-keys/{}", row.id);
    let shown = ShownKey { shown: row.into(), key: key.expose().to_owned() };
    let mut response = created(location, shown).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    caller.conclude(transaction, response).await
}

async fn insert(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    key: &ApiKey,
    body: &CreateKey,
) -> Answer<api_keys::ApiKey> {
    let now = installation::now(connection).await?;
    if body.expires_at.is_some_and(|at| at <= now) {
        return Err(Problem::invalid("/expires_at", "past", "must lie in the future").into());
    }
    API_KEYS.has_room_beside(api_keys::count_active(connection, organisation).await?)?;
    let new = NewApiKey {
        id: ApiKeyId::new(),
        organisation_id: organisation,
        name: &body.name,
        prefix: key.prefix(),
        hash: &key.hash(),
        scope: body.scope,
        expires_at: body.expires_at,
    };
    Ok(api_keys::insert(connection, &new).await?)
}

#[utoipa::path(get, path = "/organisations/{organisation}/api-keys", tag = "organisations",
    operation_id = "list_api_keys",
    params(("organisation" = String, Path, description = "Id or slug"), PageQuery),
    responses((status = 200, body = Page<Key>)))]
/// The organisation's keys, newest first, revoked ones included.
pub async fn list(
    State(app): State<App>,
    caller: Caller<can::ManageKeys>,
    Path(organisation): Path<String>,
    page: PageQuery,
) -> Answer<Json<Page<Key>>> {
    let mut connection = app.database.acquire().await?;
    let organisation = organisations::find(&mut connection, &caller, &organisation).await?.id;
    let before = page.after()?;
    let rows = api_keys::list(&mut connection, organisation, before, page.rows()).await?;
    Ok(Json(page.finish(rows, |row| row.id, Key::from)))
}

#[utoipa::path(delete, path = "/organisations/{organisation}/api-keys/{key}",
    tag = "organisations", operation_id = "revoke_api_key", params(
        ("organisation" = String, Path, description = "Id or slug"),
        ("key" = ApiKeyId, Path, description = "Id")),
    responses((status = 204, description = "Revoked; its streams close within 2 s")))]
/// Revokes a key.
pub async fn revoke(
    State(app): State<App>,
    caller: Caller<can::ManageKeys>,
    Path((organisation, key)): Path<(String, String)>,
) -> Answer<Response> {
    let id: ApiKeyId = key.parse().map_err(|_| Problem::not_found())?;
    let mut transaction = app.database.begin().await?;
    let organisation = organisations::find(&mut transaction, &caller, &organisation).await?.id;
    let row = api_keys::revoke(&mut transaction, organisation, id).await?;
    let row = row.ok_or_else(Problem::not_found)?;
    if !may_grant(&[caller.scope], row.scope) {
        let text = "A key cannot end one that may do more than itself.";
        return Err(Problem::new(Code::Forbidden).detail(text).into());
    }
    let detail = json!({});
    let journal = caller.within(organisation);
    journal.audit(&mut transaction, "api_key.revoke", id, detail).await?;
    caller.conclude(transaction, StatusCode::NO_CONTENT).await
}
