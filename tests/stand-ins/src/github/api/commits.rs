//! Repositories, branches, commits and refs, read from the git directory itself.

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::caller::Caller;
use super::{Refusal, Shared, statuses};
use crate::github::world::RepositoryRow;
use crate::github::{git, shape};

const READ: (&str, &str) = ("contents", "read");

pub(super) async fn show_repository(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path((owner, name)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let (row, account) = caller.repository(&shared, (&owner, &name), ("metadata", "read"))?;
    Ok(Json(shape::repository(&shared, &row, &account)))
}

/// As [`show_repository`], by the number, which survives a new name.
pub(super) async fn show_repository_by_id(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(id): Path<u64>,
) -> Result<Json<Value>, Refusal> {
    let row = shared.world().repositories.iter().find(|row| row.id == id).cloned();
    let row = row.ok_or_else(Refusal::not_found)?;
    show_repository(State(shared), caller, Path((row.owner, row.name))).await
}

pub(super) async fn show_branch(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path((owner, name, branch)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    let (row, _) = caller.repository(&shared, (&owner, &name), READ)?;
    let missing = || Refusal::new(StatusCode::NOT_FOUND, "Branch not found");
    let reference = format!("refs/heads/{branch}");
    let sha = resolve(&shared.directory(row.id), &reference).await.ok_or_else(missing)?;
    let commit = commit(&shared, &row, &sha).await?;
    let api = repository_url(&shared, &row);
    Ok(Json(json!({
        "name": branch, "commit": commit, "protected": false,
        "_links": {
            "self": format!("{api}/branches/{branch}"),
            "html": format!("{}/tree/{branch}", shape::html_url(&shared, &row)),
        },
        "protection": {"enabled": false, "required_status_checks":
            {"enforcement_level": "off", "contexts": [], "checks": []}},
        "protection_url": format!("{api}/branches/{branch}/protection"),
    })))
}

/// A commit by name, branch or tag; below `…/statuses` its statuses.
pub(super) async fn show_commit(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path((owner, name, reference)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    let (row, _) = caller.repository(&shared, (&owner, &name), READ)?;
    let (reference, wants_statuses) = match reference.strip_suffix("/statuses") {
        Some(reference) => (reference, true),
        None => (reference.as_str(), false),
    };
    let directory = shared.directory(row.id);
    let mut found = None;
    for prefix in ["refs/heads/", "refs/tags/", "refs/", ""] {
        if found.is_none() && (!prefix.is_empty() || is_object_name(reference)) {
            found = resolve(&directory, &format!("{prefix}{reference}")).await;
        }
    }
    let missing = || {
        let message = format!("No commit found for SHA: {reference}");
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    };
    let sha = found.ok_or_else(missing)?;
    if wants_statuses {
        return Ok(Json(statuses::list(&shared, &row, &sha)));
    }
    Ok(Json(commit(&shared, &row, &sha).await?))
}

pub(super) async fn show_reference(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path((owner, name, reference)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    let (row, _) = caller.repository(&shared, (&owner, &name), READ)?;
    if !reference.starts_with("heads/") && !reference.starts_with("tags/") {
        return Err(Refusal::not_found());
    }
    let full = format!("refs/{reference}");
    let directory = shared.directory(row.id);
    let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", &full];
    let object = git::run(&directory, &arguments).await.map_err(|_| Refusal::not_found())?;
    let kind = git::run(&directory, &["cat-file", "-t", &object]).await;
    let kind = kind.map_err(|_| Refusal::not_found())?;
    let api = repository_url(&shared, &row);
    Ok(Json(json!({
        "ref": full, "node_id": shape::node_id("Ref", row.id), "url": format!("{api}/git/{full}"),
        "object": {"sha": object, "type": kind, "url": format!("{api}/git/{kind}s/{object}")},
    })))
}

fn repository_url(shared: &Shared, row: &RepositoryRow) -> String {
    format!("{}/repos/{}", shared.api_url(), row.full_name())
}

fn is_object_name(text: &str) -> bool {
    (7..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The commit that a name leads to.
pub(super) async fn resolve(directory: &FilePath, name: &str) -> Option<String> {
    let commit = format!("{name}^{{commit}}");
    let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", &commit];
    git::run(directory, &arguments).await.ok()
}

async fn commit(shared: &Shared, row: &RepositoryRow, sha: &str) -> Result<Value, Refusal> {
    let format = "--format=%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B";
    let text = git::run(&shared.directory(row.id), &["show", "--no-patch", format, sha]).await;
    let text = text.map_err(|_| Refusal::not_found())?;
    let fields: Vec<&str> = text.split('\0').collect();
    let &[
        tree,
        parents,
        author,
        author_email,
        authored,
        committer,
        committer_email,
        committed,
        message,
    ] = fields.as_slice()
    else {
        return Err(Refusal::not_found());
    };
    let (api, html) = (repository_url(shared, row), shape::html_url(shared, row));
    let parents: Vec<Value> = parents
        .split_whitespace()
        .map(|parent| {
            json!({"sha": parent, "url": format!("{api}/commits/{parent}"),
                "html_url": format!("{html}/commit/{parent}")})
        })
        .collect();
    let person = shape::user(shared, shape::PUSHER, shape::PUSHER_ID, "User");
    Ok(json!({
        "sha": sha, "node_id": shape::node_id("Commit", row.id),
        "commit": {
            "author": {"name": author, "email": author_email, "date": authored},
            "committer": {"name": committer, "email": committer_email, "date": committed},
            "message": message.trim_end_matches('\n'),
            "tree": {"sha": tree, "url": format!("{api}/git/trees/{tree}")},
            "url": format!("{api}/git/commits/{sha}"), "comment_count": 0,
            "verification": {"verified": false, "reason": "unsigned", "signature": null,
                "payload": null, "verified_at": null},
        },
        "url": format!("{api}/commits/{sha}"), "html_url": format!("{html}/commit/{sha}"),
        "comments_url": format!("{api}/commits/{sha}/comments"),
        "author": person, "committer": person, "parents": parents,
    }))
}
