//! GitHub's objects in JSON: the fields that clients read, with values of the right kind.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::Shared;
use super::world::{Account, RepositoryRow, Status};
use crate::world_clock;

/// Who pushes: everybody who has the push token.
pub(crate) const PUSHER: &str = "octocat";
/// The pusher's number.
pub(crate) const PUSHER_ID: u64 = 583_231;

/// GitHub's second kind of id.
pub(crate) fn node_id(kind: &str, id: u64) -> String {
    STANDARD.encode(format!("{:03}:{kind}{id}", kind.len()))
}

/// Where a person would look at the repository.
pub(crate) fn html_url(shared: &Shared, row: &RepositoryRow) -> String {
    format!("{}/{}", shared.base_url, row.full_name())
}

fn time_of(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).map(world_clock::text).unwrap_or_default()
}

/// A "simple user".
pub(crate) fn user(shared: &Shared, login: &str, id: u64, kind: &str) -> Value {
    let api = format!("{}/users/{login}", shared.api_url());
    json!({
        "login": login, "id": id, "node_id": node_id("User", id),
        "avatar_url": format!("{}/avatars/u/{id}", shared.base_url), "gravatar_id": "",
        "url": api, "html_url": format!("{}/{login}", shared.base_url),
        "followers_url": format!("{api}/followers"), "following_url": format!("{api}/following{{/other_user}}"),
        "gists_url": format!("{api}/gists{{/gist_id}}"), "starred_url": format!("{api}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{api}/subscriptions"), "organizations_url": format!("{api}/orgs"),
        "repos_url": format!("{api}/repos"), "events_url": format!("{api}/events{{/privacy}}"),
        "received_events_url": format!("{api}/received_events"),
        "type": kind, "site_admin": false,
    })
}

/// A webhook's `organization`.
pub(crate) fn organization(shared: &Shared, account: &Account) -> Value {
    let api = format!("{}/orgs/{}", shared.api_url(), account.login);
    json!({
        "login": account.login, "id": account.id, "node_id": node_id("Organization", account.id),
        "url": api, "repos_url": format!("{api}/repos"), "events_url": format!("{api}/events"),
        "hooks_url": format!("{api}/hooks"), "issues_url": format!("{api}/issues"),
        "members_url": format!("{api}/members{{/member}}"),
        "public_members_url": format!("{api}/public_members{{/member}}"),
        "avatar_url": format!("{}/avatars/u/{}", shared.base_url, account.id), "description": "",
    })
}

/// A repository as the REST API gives it.
pub(crate) fn repository(shared: &Shared, row: &RepositoryRow, account: &Account) -> Value {
    let (html, full) = (html_url(shared, row), row.full_name());
    let api = format!("{}/repos/{full}", shared.api_url());
    json!({
        "id": row.id, "node_id": node_id("Repository", row.id), "name": row.name, "full_name": full,
        "private": row.private, "owner": user(shared, &account.login, account.id, "Organization"),
        "html_url": html, "description": null, "fork": false, "url": api,
        "branches_url": format!("{api}/branches{{/branch}}"), "commits_url": format!("{api}/commits{{/sha}}"),
        "statuses_url": format!("{api}/statuses/{{sha}}"), "git_refs_url": format!("{api}/git/refs{{/sha}}"),
        "created_at": time_of(row.created_at), "updated_at": time_of(row.pushed_at),
        "pushed_at": time_of(row.pushed_at),
        "clone_url": format!("{html}.git"), "git_url": format!("{html}.git"),
        "ssh_url": format!("git@127.0.0.1:{full}.git"), "svn_url": html,
        "homepage": null, "size": 0, "stargazers_count": 0, "watchers_count": 0, "language": null,
        "has_issues": true, "has_projects": true, "has_downloads": true, "has_wiki": true,
        "has_pages": false, "has_discussions": false, "forks_count": 0, "mirror_url": null,
        "archived": false, "disabled": false, "open_issues_count": 0, "license": null,
        "allow_forking": true, "is_template": false, "web_commit_signoff_required": false, "topics": [],
        "visibility": if row.private { "private" } else { "public" },
        "forks": 0, "open_issues": 0, "watchers": 0, "default_branch": row.default_branch,
    })
}

/// A repository in a `push` event: some times are numbers there.
pub(crate) fn pushed_repository(shared: &Shared, row: &RepositoryRow, account: &Account) -> Value {
    let mut value = repository(shared, row, account);
    value["created_at"] = json!(row.created_at);
    value["pushed_at"] = json!(row.pushed_at);
    value["stargazers"] = json!(0);
    value["master_branch"] = json!(row.default_branch);
    value["organization"] = json!(account.login);
    value["owner"]["name"] = json!(account.login);
    value["owner"]["email"] = Value::Null;
    value
}

/// What the App may do, everywhere.
pub(crate) const PERMISSIONS: [(&str, &str); 3] =
    [("contents", "read"), ("metadata", "read"), ("statuses", "write")];

/// The App's installation in an account.
pub(crate) fn installation(shared: &Shared, account: &Account) -> Value {
    let id = account.installation;
    let api = format!("{}/app/installations/{id}", shared.api_url());
    let permissions: serde_json::Map<_, _> =
        PERMISSIONS.iter().map(|(name, level)| ((*name).to_owned(), json!(level))).collect();
    json!({
        "id": id, "client_id": "Iv23standin", "app_id": shared.app_id, "app_slug": "zeitwork-stand-in",
        "account": user(shared, &account.login, account.id, "Organization"),
        "repository_selection": "selected", "access_tokens_url": format!("{api}/access_tokens"),
        "repositories_url": format!("{}/installation/repositories", shared.api_url()),
        "html_url": format!("{}/organizations/{}/settings/installations/{id}", shared.base_url, account.login),
        "target_id": account.id, "target_type": "Organization", "permissions": permissions,
        "events": ["push"], "created_at": time_of(1_700_000_000), "updated_at": time_of(1_700_000_000),
        "single_file_name": null, "has_multiple_single_files": false, "single_file_paths": [],
        "suspended_by": account.suspended_at.map(|_| user(shared, PUSHER, PUSHER_ID, "User")),
        "suspended_at": account.suspended_at.map(time_of),
    })
}

/// The App itself.
pub(crate) fn app(shared: &Shared, installations: usize) -> Value {
    json!({
        "id": shared.app_id, "client_id": "Iv23standin", "slug": "zeitwork-stand-in",
        "node_id": node_id("Integration", shared.app_id), "name": "Zeitwork (stand-in)",
        "owner": user(shared, PUSHER, PUSHER_ID, "User"), "description": "",
        "external_url": shared.base_url, "html_url": format!("{}/apps/zeitwork-stand-in", shared.base_url),
        "created_at": time_of(1_700_000_000), "updated_at": time_of(1_700_000_000),
        "permissions": {"contents": "read", "metadata": "read", "statuses": "write"},
        "events": ["push"], "installations_count": installations,
    })
}

/// A commit status.
pub(crate) fn status(shared: &Shared, status: &Status) -> Value {
    let mut value = serde_json::to_value(status).unwrap_or_default();
    let url = format!("{}/repos/{}/statuses/{}", shared.api_url(), status.repository, status.sha);
    value["url"] = json!(url);
    value["node_id"] = json!(node_id("StatusContext", status.id));
    value["avatar_url"] = json!(format!("{}/avatars/in/{}", shared.base_url, shared.app_id));
    value["creator"] = user(shared, "zeitwork-stand-in[bot]", 90_999_999, "Bot");
    value
}
