//! Commit statuses.
//!
//! <https://docs.github.com/en/rest/commits/statuses>

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::caller::Caller;
use super::{Refusal, Shared, commits};
use crate::github::shape;
use crate::github::world::{RepositoryRow, Status};
use crate::world_clock;

const STATES: [&str; 4] = ["error", "failure", "pending", "success"];
const LONGEST_DESCRIPTION: usize = 140;

#[derive(Deserialize)]
struct NewStatus {
    state: String,
    target_url: Option<String>,
    description: Option<String>,
    context: Option<String>,
}

pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path((owner, name, sha)): Path<(String, String, String)>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let (row, _) = caller.repository(&shared, (&owner, &name), ("statuses", "write"))?;
    let message = "Problems parsing JSON";
    let new: NewStatus = serde_json::from_slice(&body)
        .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, message))?;
    validate(&new)?;
    let whole = sha.len() == 40 && sha.bytes().all(|b| b.is_ascii_hexdigit());
    let known = whole && commits::resolve(&shared.directory(row.id), &sha).await.is_some();
    if !known {
        let message = format!("No commit found for SHA: {sha}");
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    let now = world_clock::text(world_clock::now());
    let mut world = shared.world();
    let status = Status {
        id: 30_000_000_000 + world.statuses.len() as u64,
        repository: row.full_name(),
        sha,
        state: new.state,
        target_url: new.target_url,
        description: new.description,
        context: new.context.unwrap_or_else(|| "default".to_owned()),
        created_at: now.clone(),
        updated_at: now,
    };
    world.statuses.push(status.clone());
    Ok((StatusCode::CREATED, Json(shape::status(&shared, &status))))
}

fn validate(new: &NewStatus) -> Result<(), Refusal> {
    if !STATES.contains(&new.state.as_str()) {
        return Err(Refusal::invalid("Status", "state", "state is not included in the list"));
    }
    let length = new.description.as_ref().map_or(0, |text| text.chars().count());
    if length > LONGEST_DESCRIPTION {
        let message = "description is too long (maximum is 140 characters)";
        return Err(Refusal::invalid("Status", "description", message));
    }
    let is_http = |url: &String| url.starts_with("http://") || url.starts_with("https://");
    if new.target_url.as_ref().is_some_and(|url| !is_http(url)) {
        let message = "target_url must use http(s) scheme";
        return Err(Refusal::invalid("Status", "target_url", message));
    }
    Ok(())
}

/// The statuses of a commit, newest first.
pub(super) fn list(shared: &Shared, row: &RepositoryRow, sha: &str) -> Value {
    let (world, full) = (shared.world(), row.full_name());
    let of_commit = |status: &&Status| status.sha == sha && status.repository == full;
    world.statuses.iter().rev().filter(of_commit).map(|s| shape::status(shared, s)).collect()
}
