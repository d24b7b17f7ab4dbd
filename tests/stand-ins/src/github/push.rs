//! What a push changed, and the `push` event that tells of it.
//!
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads#push>

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::git::{self, GitError};
use super::hook::Event;
use super::{Error, Shared, shape};
use crate::world_clock;

/// GitHub's writing of "nothing".
const ZEROS: &str = "0000000000000000000000000000000000000000";
/// GitHub cuts the list of commits here.
const MOST_COMMITS: usize = 2048;
/// "Events will not be created for tags when more than three tags are pushed at once."
const MOST_TAGS: usize = 3;

/// Every ref with its object.
pub(crate) type Refs = BTreeMap<String, String>;

/// Reads the refs of a repository.
pub(crate) async fn refs(directory: &Path) -> Result<Refs, GitError> {
    let format = "--format=%(objectname) %(refname)";
    let text = git::run(directory, &["for-each-ref", format, "refs/heads", "refs/tags"]).await?;
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs.map(|(object, name)| (name.to_owned(), object.to_owned())).collect())
}

/// One ref that a push moved; `None` where it is not.
#[derive(Debug, PartialEq, Eq)]
struct Update<'a> {
    name: &'a str,
    before: Option<&'a str>,
    after: Option<&'a str>,
}

fn updates<'a>(before: &'a Refs, after: &'a Refs) -> Vec<Update<'a>> {
    let gone = before.iter().filter(|(name, _)| !after.contains_key(*name));
    let gone = gone.map(|(name, object)| Update { name, before: Some(object), after: None });
    let moved = after.iter().filter_map(|(name, object)| {
        let old = before.get(name).map(String::as_str);
        (old != Some(object)).then_some(Update { name, before: old, after: Some(object) })
    });
    let mut updates: Vec<_> = gone.chain(moved).collect();
    if updates.iter().filter(|u| u.name.starts_with("refs/tags/")).count() > MOST_TAGS {
        updates.retain(|u| !u.name.starts_with("refs/tags/"));
    }
    updates
}

/// One event for each ref that differs.
pub(crate) async fn events(
    shared: &Shared,
    repository: u64,
    before: &Refs,
    after: &Refs,
) -> Result<Vec<Event>, Error> {
    let directory = shared.directory(repository);
    let mut events = Vec::new();
    for update in updates(before, after) {
        let payload = payload(shared, repository, &directory, &update, before).await?;
        events.push(Event::new("push", payload)?);
    }
    Ok(events)
}

async fn payload(
    shared: &Shared,
    repository: u64,
    directory: &Path,
    update: &Update<'_>,
    before: &Refs,
) -> Result<Value, Error> {
    let url = {
        let world = shared.world();
        let row = world.repositories.iter().find(|r| r.id == repository).ok_or(Error::Event)?;
        shape::html_url(shared, row)
    };
    let commits = new_commits(directory, &url, update, before).await?;
    let head = match update.after {
        Some(after) => commit_list(directory, &url, &["-1", after]).await?.pop(),
        None => None,
    };
    let forced = match (update.before, update.after) {
        (Some(old), Some(new)) => {
            git::run(directory, &["merge-base", "--is-ancestor", old, new]).await.is_err()
        }
        _ => false,
    };
    let base = update.after.filter(|_| update.before.is_none()).and_then(|new| {
        before.iter().find(|(name, at)| name.starts_with("refs/heads/") && *at == new)
    });
    let world = shared.world();
    let row = world.repositories.iter().find(|r| r.id == repository).ok_or(Error::Event)?;
    let account = world.account(&row.owner).ok_or(Error::Event)?;
    Ok(json!({
        "ref": update.name,
        "before": update.before.unwrap_or(ZEROS),
        "after": update.after.unwrap_or(ZEROS),
        "repository": shape::pushed_repository(shared, row, account),
        "pusher": {"name": shape::PUSHER, "email": format!("{}@users.noreply.github.com", shape::PUSHER)},
        "organization": shape::organization(shared, account),
        "sender": shape::user(shared, shape::PUSHER, shape::PUSHER_ID, "User"),
        "installation": {"id": account.installation, "node_id": shape::node_id("Integration", account.installation)},
        "created": update.before.is_none(),
        "deleted": update.after.is_none(),
        "forced": forced,
        "base_ref": base.map(|(name, _)| name),
        "compare": compare(&url, update),
        "commits": commits,
        "head_commit": head,
    }))
}

fn compare(url: &str, update: &Update<'_>) -> String {
    let short = |object: &str| object[..12].to_owned();
    match (update.before, update.after) {
        (Some(old), Some(new)) => format!("{url}/compare/{}...{}", short(old), short(new)),
        (None, Some(_)) => format!("{url}/compare/{}", branch(update.name)),
        (Some(old), None) => format!("{url}/compare/{}...{}", short(old), &ZEROS[..12]),
        (None, None) => url.to_owned(),
    }
}

fn branch(name: &str) -> &str {
    name.strip_prefix("refs/heads/").or(name.strip_prefix("refs/tags/")).unwrap_or(name)
}

/// What the ref's new place brings that no ref held before, oldest first.
async fn new_commits(
    directory: &Path,
    url: &str,
    update: &Update<'_>,
    before: &Refs,
) -> Result<Vec<Value>, GitError> {
    let Some(after) = update.after else { return Ok(Vec::new()) };
    let limit = format!("--max-count={MOST_COMMITS}");
    let mut arguments = vec![limit.as_str(), "--reverse", after, "--not"];
    match update.before {
        Some(old) => arguments.push(old),
        None => arguments.extend(before.values().map(String::as_str)),
    }
    commit_list(directory, url, &arguments).await
}

/// Commits in the payload's form; `\u{1}` begins a commit, `\u{2}` ends its head, NUL divides.
async fn commit_list(
    directory: &Path,
    url: &str,
    selection: &[&str],
) -> Result<Vec<Value>, GitError> {
    let format = "--format=%x01%H%x00%T%x00%cI%x00%an%x00%ae%x00%cn%x00%ce%x00%B%x02";
    let mut arguments = vec!["-c", "core.quotePath=false", "log", "--no-renames", "--name-status"];
    arguments.push(format);
    arguments.extend(selection);
    let text = git::run(directory, &arguments).await?;
    Ok(text.split('\u{1}').filter_map(|commit| commit_of(commit, url)).collect())
}

fn commit_of(text: &str, url: &str) -> Option<Value> {
    let (head, files) = text.split_once('\u{2}')?;
    let fields: Vec<&str> = head.split('\0').collect();
    let &[id, tree, at, author, author_email, committer, committer_email, message] =
        fields.as_slice()
    else {
        return None;
    };
    let of_kind = |kind: &str| -> Vec<&str> {
        let lines = files.lines().filter_map(|line| line.split_once('\t'));
        lines.filter(|(status, _)| *status == kind).map(|(_, path)| path).collect()
    };
    Some(json!({
        "id": id,
        "tree_id": tree,
        "distinct": true,
        "message": message.trim_end_matches('\n'),
        "timestamp": at,
        "url": format!("{url}/commit/{id}"),
        "author": {"name": author, "email": author_email, "date": at, "username": shape::PUSHER},
        "committer":
            {"name": committer, "email": committer_email, "date": at, "username": shape::PUSHER},
        "added": of_kind("A"),
        "removed": of_kind("D"),
        "modified": of_kind("M"),
    }))
}

/// After a push: the events, delivered or held.
pub(crate) async fn announce(
    shared: &std::sync::Arc<Shared>,
    repository: u64,
    before: &Refs,
) -> Result<(), Error> {
    let after = refs(&shared.directory(repository)).await?;
    let events = events(shared, repository, before, &after).await?;
    if events.is_empty() {
        return Ok(());
    }
    let told = {
        let mut world = shared.world();
        let owner = match world.repositories.iter_mut().find(|r| r.id == repository) {
            Some(row) => {
                row.pushed_at = world_clock::now().unix_timestamp();
                row.selected.then(|| row.owner.clone())
            }
            None => None,
        };
        world.save()?;
        owner.and_then(|o| world.account(&o).cloned()).is_some_and(|a| a.suspended_at.is_none())
    };
    // What is not in a living installation is not told to the App.
    if told {
        for event in events {
            shared.emit(event);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
