//! The App, its installations and their tokens.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::{App, Caller, suspended};
use super::{Page, Refusal, Shared};
use crate::github::shape;
use crate::github::world::{RepositoryRow, TOKEN_LIFE, Token, World};
use crate::{random, world_clock};

pub(super) async fn show(State(shared): State<Arc<Shared>>, _: App) -> Json<Value> {
    let count = shared.world().accounts.len();
    Json(shape::app(&shared, count))
}

pub(super) async fn list_installations(
    State(shared): State<Arc<Shared>>,
    _: App,
    Query(page): Query<Page>,
) -> Json<Value> {
    let accounts = shared.world().accounts.clone();
    let items = page.of(accounts.iter().map(|a| shape::installation(&shared, a)).collect());
    Json(Value::Array(items))
}

pub(super) async fn show_installation(
    State(shared): State<Arc<Shared>>,
    _: App,
    Path(id): Path<u64>,
) -> Result<Json<Value>, Refusal> {
    let world = shared.world();
    let account = world.installation(id).ok_or_else(Refusal::not_found)?;
    Ok(Json(shape::installation(&shared, account)))
}

pub(super) async fn show_repository_installation(
    State(shared): State<Arc<Shared>>,
    _: App,
    Path((owner, name)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let world = shared.world();
    let row = world.repository(&owner, &name).filter(|row| row.selected);
    let account = row.and_then(|row| world.account(&row.owner)).ok_or_else(Refusal::not_found)?;
    Ok(Json(shape::installation(&shared, account)))
}

pub(super) async fn show_account_installation(
    State(shared): State<Arc<Shared>>,
    _: App,
    Path(login): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let world = shared.world();
    let account = world.account(&login).ok_or_else(Refusal::not_found)?;
    Ok(Json(shape::installation(&shared, account)))
}

/// The caller's own token ends.
pub(super) async fn revoke_token(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
) -> Result<StatusCode, Refusal> {
    let token = caller.installation()?;
    shared.world().tokens.remove(&token.text);
    Ok(StatusCode::NO_CONTENT)
}

/// What a token may be narrowed to.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenWish {
    repositories: Option<Vec<String>>,
    repository_ids: Option<Vec<u64>>,
    permissions: Option<HashMap<String, String>>,
}

pub(super) async fn create_token(
    State(shared): State<Arc<Shared>>,
    _: App,
    Path(id): Path<u64>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let wish: TokenWish = if body.is_empty() {
        TokenWish::default()
    } else {
        let parsed = serde_json::from_slice::<Option<TokenWish>>(&body);
        let message = "Problems parsing JSON";
        parsed.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, message))?.unwrap_or_default()
    };
    let mut world = shared.world();
    let account = world.installation(id).ok_or_else(Refusal::not_found)?.clone();
    if account.suspended_at.is_some() {
        return Err(suspended());
    }
    let repositories = narrow(&world, &account.login, &wish)?;
    // As on GitHub: `ghs_` and 36 characters.
    let text = format!("ghs_{}", random::hex::<18>()?);
    let token = Token {
        text: text.clone(),
        installation: id,
        expires_at: world_clock::now() + TOKEN_LIFE,
        repositories: repositories.as_ref().map(|rows| rows.iter().map(|row| row.id).collect()),
        permissions: grant(wish.permissions)?,
    };
    let mut answer = json!({
        "token": text,
        "expires_at": world_clock::text(token.expires_at),
        "permissions": token.permissions,
        "repository_selection": "selected",
    });
    if let Some(rows) = repositories {
        answer["repositories"] =
            rows.iter().map(|row| shape::repository(&shared, row, &account)).collect();
    }
    world.tokens.insert(text, token);
    Ok((StatusCode::CREATED, Json(answer)))
}

/// The repositories that the wish names; `None` where it names none.
fn narrow(
    world: &World,
    login: &str,
    wish: &TokenWish,
) -> Result<Option<Vec<RepositoryRow>>, Refusal> {
    let of_installation = |row: &&RepositoryRow| row.owner == login && row.selected;
    let names = wish
        .repositories
        .iter()
        .flatten()
        .map(|name| world.repository(login, name).filter(of_installation));
    let ids = wish
        .repository_ids
        .iter()
        .flatten()
        .map(|id| world.repositories.iter().find(|row| row.id == *id).filter(of_installation));
    if wish.repositories.is_none() && wish.repository_ids.is_none() {
        return Ok(None);
    }
    let message = "There is at least one repository that does not exist or is not accessible to \
                   the parent installation.";
    let found: Option<Vec<RepositoryRow>> =
        names.chain(ids).map(Option::<&RepositoryRow>::cloned).collect();
    found.map(Some).ok_or_else(|| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message))
}

/// What is asked for, if the App has it; everything that it has otherwise.
fn grant(wish: Option<HashMap<String, String>>) -> Result<HashMap<String, String>, Refusal> {
    let owned = |(name, level): (&str, &str)| (name.to_owned(), level.to_owned());
    let all: HashMap<String, String> = shape::PERMISSIONS.into_iter().map(owned).collect();
    let Some(mut wish) = wish else { return Ok(all) };
    let has = |(name, level): (&String, &String)| {
        all.get(name).is_some_and(|ours| ours == level || ours == "write" && level == "read")
    };
    if !wish.iter().all(has) {
        let message = "The permissions requested are not granted to this installation.";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    // Metadata is always included.
    wish.insert("metadata".to_owned(), "read".to_owned());
    Ok(wish)
}

pub(super) async fn list_repositories(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Refusal> {
    let token = caller.installation()?;
    let world = shared.world();
    let account = world.installation(token.installation).ok_or_else(Refusal::not_found)?;
    let rows: Vec<_> = world.repositories.iter().filter(|row| world.sees(&token, row)).collect();
    let total = rows.len();
    let rows = page.of(rows).into_iter().map(|row| shape::repository(&shared, row, account));
    Ok(Json(json!({
        "total_count": total,
        "repository_selection": "selected",
        "repositories": rows.collect::<Vec<_>>(),
    })))
}
