//! A push: a wish of exactly the pushed commit for each environment that follows the branch,
//! unless GitHub shows that the branch has moved on.

use std::collections::HashMap;

use zeitwork_database::PgConnection;
use zeitwork_database::steps::sources as steps;
use zeitwork_database::views::heads::{self, Follower};
use zeitwork_database::views::sources::{self as views, GithubProject};
use zeitwork_database::webhook_queue::{self as queue, Claimed};
use zeitwork_model::id::EnvironmentId;
use zeitwork_model::reason::Reason;
use zeitwork_planning::branches::follows;
use zeitwork_planning::webhooks::{self as plan, Decision, Head, Seen};
use zeitwork_runtime::{effect, step};

use super::payload::{self, Push};
use super::{End, Origin, Unended, apply, finish, snapshot};
use crate::github::{Commit, GithubError};
use crate::reconcilers::sources::{Answer, connect, note_refusal};
use crate::{Error, World, commit};

/// Looks this often whether somebody changed the environments while GitHub was asked.
const LOOKS: usize = 3;

/// A push on a branch, as far as it matters.
struct Moved<'a> {
    branch: &'a str,
    before: Option<&'a str>,
    after: &'a str,
    installation: i64,
    commit: Commit,
    push: &'a Push,
}

/// What GitHub said, and what the environments were when it was asked.
struct Asked {
    head: Option<Commit>,
    followers: HashMap<EnvironmentId, Follower>,
}

pub(super) async fn take(world: &World, claimed: &Claimed, push: &Push) -> Result<(), Unended> {
    let moved = match read(push) {
        Ok(moved) => moved,
        Err(end) => return finish(world, claimed, end).await,
    };
    let projects = match projects(world, &moved).await? {
        Ok(projects) => projects,
        Err(end) => return finish(world, claimed, end).await,
    };
    let default = push.repository.default_branch.as_deref().unwrap_or_default();
    let mut asked: Option<Asked> = None;
    for _ in 0..LOOKS {
        let mut transaction = world.database.begin().await?;
        let mut followers = Vec::new();
        for project in &projects {
            let all = heads::followers(&mut transaction, project.organisation_id, project.id);
            let all = all.await?.into_iter();
            followers.extend(all.filter(|f| follows(f.branch.as_deref(), moved.branch, default)));
        }
        if followers.is_empty() {
            drop(transaction);
            let text = format!("No environment follows the branch {:?}.", moved.branch);
            return finish(world, claimed, End::ignored("branch_not_followed", text)).await;
        }
        let end = settle(&mut transaction, claimed, &moved, &followers, asked.as_ref()).await?;
        if let Some(end) = end {
            let (status, reason) = (end.status, end.reason.as_ref());
            queue::finish(&mut transaction, claimed, status, reason).await?;
            return Ok(commit(step!("webhooks.push"), transaction).await?);
        }
        transaction.rollback().await.map_err(zeitwork_database::Error::from)?;
        let head = ask(world, &moved, &projects).await?;
        let followers = followers.into_iter().map(|follower| (follower.id, follower)).collect();
        asked = Some(Asked { head, followers });
    }
    let reason = Reason::new("changed_meanwhile", "The environments change all the time.");
    Err(Unended::Later(reason, None))
}

fn read(push: &Push) -> Result<Moved<'_>, End> {
    let Some(branch) = push.reference.strip_prefix("refs/heads/") else {
        return Err(End::ignored("not_a_branch", format!("{} is no branch.", push.reference)));
    };
    let Some(after) = payload::commit(&push.after).filter(|_| !push.deleted) else {
        return Err(End::ignored("branch_deleted", format!("The branch {branch:?} was deleted.")));
    };
    let Some(installation) = &push.installation else {
        let text = "The delivery is of no installation of the App.";
        return Err(End::ignored("no_installation", text));
    };
    let head = push.head_commit.as_ref().filter(|head| head.id == after);
    let author = head.and_then(|head| head.author.as_ref()?.name.clone()).unwrap_or_default();
    let message = head.map(|head| head.message.clone()).unwrap_or_default();
    let commit = Commit { sha: after.to_owned(), message, author };
    let before = payload::commit(&push.before);
    Ok(Moved { branch, before, after, installation: installation.id, commit, push })
}

/// The projects that the push is about: by number, those without one yet are resolved first.
async fn projects(
    world: &World,
    moved: &Moved<'_>,
) -> Result<Result<Vec<GithubProject>, End>, Unended> {
    let (id, name) = (moved.push.repository.id, &moved.push.repository.full_name);
    let mut found = Vec::new();
    let mut refusal = None;
    let mut connection = world.database.acquire().await?;
    let candidates = views::of_repository(&mut connection, id, name).await?;
    drop(connection);
    for mut project in candidates {
        let is_connected = project.repository_id == Some(id)
            && project.installation_id == Some(moved.installation)
            && project.reason_code.is_none();
        if !is_connected {
            match connect(world, &project).await? {
                Answer::Is(connected) => {
                    project.repository_id = Some(connected.repository_id);
                    project.installation_id = Some(connected.installation_id);
                }
                // Only this project's: whoever else has the repository is served all the same.
                Answer::No(reason) => {
                    refusal = Some(reason);
                    continue;
                }
                Answer::Later(reason, asked) => return Err(Unended::Later(reason, asked)),
            }
        }
        let is_ours = project.repository_id == Some(id)
            && project.installation_id == Some(moved.installation);
        if is_ours {
            follow_name(world, &project, name).await?;
            found.push(project);
        }
    }
    if !found.is_empty() {
        return Ok(Ok(found));
    }
    Ok(Err(match refusal {
        Some(reason) => End::ignored(&reason.code, reason.text),
        None => End::ignored("no_project", format!("No project has the repository {name}.")),
    }))
}

/// The number is the identity; a new name whose own delivery was lost is learned from any push.
async fn follow_name(world: &World, project: &GithubProject, name: &str) -> Result<(), Error> {
    let Some(id) = project.repository_id.filter(|_| project.repository != name) else {
        return Ok(());
    };
    let mut connection = world.database.acquire().await?;
    effect(step!("webhooks.follow_name"), steps::rename(&mut connection, id, name)).await?;
    Ok(())
}

async fn ask(
    world: &World,
    moved: &Moved<'_>,
    projects: &[GithubProject],
) -> Result<Option<Commit>, Unended> {
    let Some(github) = &world.outside.github else {
        let text = "No GitHub App is configured.";
        return Err(Unended::Later(Reason::new("github_not_configured", text), None));
    };
    let name = &moved.push.repository.full_name;
    let asked = github.branch_head(moved.installation, name, moved.branch);
    match effect(step!("webhooks.ask"), asked).await {
        Ok(head) => Ok(head),
        Err(error) => {
            let is_about_all =
                matches!(error, GithubError::Suspended | GithubError::InstallationGone);
            if is_about_all && !projects.is_empty() {
                note_refusal(world, moved.installation, &error).await?;
            }
            Err(Unended::Later(error.reason(), error.asked_wait()))
        }
    }
}

/// Decides for each environment under its lock and carries it out; none: GitHub has to be asked
/// (again).
async fn settle(
    connection: &mut PgConnection,
    claimed: &Claimed,
    moved: &Moved<'_>,
    followers: &[Follower],
    asked: Option<&Asked>,
) -> Result<Option<End>, Unended> {
    let (mut wished, mut of_head, mut last) = (false, false, Decision::Known);
    let head = asked.and_then(|asked| asked.head.as_ref());
    let origin = Origin {
        branch: moved.branch,
        delivery: Some(claimed.id),
        request: claimed.request_id.as_deref(),
    };
    for follower in followers {
        let (organisation, id) = (follower.organisation_id, follower.id);
        let Some(now) = heads::lock(connection, organisation, id).await? else { continue };
        let known = snapshot(connection, &now, moved.branch).await?;
        let after = heads::wished(connection, organisation, id, moved.after).await?;
        let push = plan::Push {
            before: moved.before,
            after: Seen { commit: moved.after, generation: after },
        };
        let head_seen = match head {
            Some(head) => heads::wished(connection, organisation, id, &head.sha).await?,
            None => None,
        };
        // What GitHub said counts only where nothing has changed since it was asked.
        let state = match asked {
            Some(asked) if asked.followers.get(&id) == Some(&now) => match head {
                Some(head) => Head::At(Seen { commit: &head.sha, generation: head_seen }),
                None => Head::Gone,
            },
            _ => Head::Unasked,
        };
        let decision = plan::decide(known.known(), push, state);
        if decision == Decision::Ask {
            return Ok(None);
        }
        let commit = match decision {
            Decision::Wish(sha) if sha != moved.after => head.unwrap_or(&moved.commit),
            _ => &moved.commit,
        };
        let made = apply(connection, &now, decision, commit, origin).await?;
        wished |= made && commit.sha == moved.after;
        of_head |= made && commit.sha != moved.after;
        last = decision;
    }
    Ok(Some(end_of(moved, head, (wished, of_head), last)))
}

fn end_of(
    moved: &Moved<'_>,
    head: Option<&Commit>,
    (wished, of_head): (bool, bool),
    last: Decision<'_>,
) -> End {
    if wished {
        return End::processed();
    }
    let newer = head.filter(|head| head.sha != moved.after);
    match (last, newer) {
        (Decision::Gone, _) => {
            End::ignored("branch_gone", format!("The branch {:?} is gone.", moved.branch))
        }
        (_, Some(newer)) => {
            let text = format!("The branch has moved on to {}.", newer.sha);
            let end = End::ignored("superseded", text);
            if of_head { End { status: super::DeliveryStatus::Processed, ..end } } else { end }
        }
        _ => End::ignored("already_seen", "The commit was wished for before."),
    }
}
