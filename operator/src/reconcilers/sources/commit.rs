//! Finds the commit that a deployment asks for.

use secrecy::SecretString;
use zeitwork_database::views::sources::Waiting;
use zeitwork_model::project::SourceKind;
use zeitwork_model::reason::Reason;
use zeitwork_planning::branches::is_pattern;

use super::Answer;
use crate::World;
use crate::git_refs::{Question, References, RefsError};
use crate::github::{Commit, Github, GithubError};

/// The commit of what was asked for, else of the environment's branch, else of HEAD.
pub(super) async fn of(world: &World, waiting: &Waiting) -> Answer<Commit> {
    if waiting.source_kind == SourceKind::Git {
        let url = waiting.url.as_deref().unwrap_or_default();
        let question = Question { url, authorization: None, is_ours: false };
        return match world.outside.refs.list(question).await {
            Ok(references) => pick(&references, waiting).map_or_else(
                || Answer::No(not_found(waiting)),
                |sha| Answer::Is(Commit { sha, message: String::new(), author: String::new() }),
            ),
            Err(error) => refused(&error),
        };
    }
    match (&world.outside.github, waiting.installation_id, waiting.repository_id) {
        (Some(github), Some(installation), Some(repository)) if waiting.reason_code.is_none() => {
            of_github(world, github, waiting, (installation, repository)).await
        }
        _ => unconnected(waiting),
    }
}

/// The project's own reason, where there is one that waiting does not change.
fn unconnected(waiting: &Waiting) -> Answer<Commit> {
    let passing = ["github_unavailable", "github_limited", "github_unauthenticated"];
    match (&waiting.reason_code, &waiting.reason_text) {
        (Some(code), Some(text)) if passing.contains(&code.as_str()) => {
            Answer::Later(Reason::new(code, text), None)
        }
        (Some(code), Some(text)) => Answer::No(Reason::new(code, text)),
        _ => Answer::Later(Reason::new("source_unreachable", "GitHub has not answered yet."), None),
    }
}

async fn of_github(
    world: &World,
    github: &Github,
    waiting: &Waiting,
    (installation, id): (i64, i64),
) -> Answer<Commit> {
    let repository = waiting.repository.as_deref().unwrap_or_default();
    let authorization: SecretString = match github.read_authorization(installation, id).await {
        Ok(authorization) => authorization,
        Err(error) => {
            if super::note_refusal(world, installation, &error).await.is_err() {
                tracing::debug!("a refusal of github was not noted");
            }
            return refused_by_github(&error);
        }
    };
    let url = github.clone_url(repository);
    let question = Question { url: &url, authorization: Some(&authorization), is_ours: true };
    let references = match world.outside.refs.list(question).await {
        Ok(references) => references,
        Err(error) => return refused(&error),
    };
    let sha = match (pick(&references, waiting), &waiting.reference) {
        (Some(sha), _) => sha,
        (None, Some(text)) if is_abbreviation(text) => text.clone(),
        _ => return Answer::No(not_found(waiting)),
    };
    match github.commit(installation, repository, &sha).await {
        Ok(Some(commit)) => Answer::Is(commit),
        Ok(None) => Answer::No(not_found(waiting)),
        Err(error) => refused_by_github(&error),
    }
}

fn pick(references: &References, waiting: &Waiting) -> Option<String> {
    let branch = waiting.branch.as_deref().filter(|branch| !is_pattern(branch));
    let found = match (&waiting.reference, branch) {
        (Some(reference), _) => references.resolve(Some(reference)),
        (None, Some(branch)) => references.branch(branch),
        (None, None) => references.resolve(None),
    };
    found.map(str::to_owned)
}

fn is_abbreviation(text: &str) -> bool {
    (7..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn not_found(waiting: &Waiting) -> Reason {
    let wanted = waiting.reference.as_deref().or(waiting.branch.as_deref());
    let text = match wanted {
        Some(name) => format!("The repository has no branch, tag or commit {name:?}."),
        None => "The repository has no default branch: it may be empty.".to_owned(),
    };
    Reason::new("reference_not_found", text)
}

fn refused(error: &RefsError) -> Answer<Commit> {
    if error.is_transient() {
        Answer::Later(error.reason(), None)
    } else {
        Answer::No(error.reason())
    }
}

fn refused_by_github(error: &GithubError) -> Answer<Commit> {
    if error.is_transient() || matches!(error, GithubError::InstallationGone) {
        Answer::Later(error.reason(), error.asked_wait())
    } else {
        Answer::No(error.reason())
    }
}
