//! What GitHub says about installations and repositories.

use zeitwork_database::github_installations as installations;
use zeitwork_database::steps::sources::{self as steps, Of};
use zeitwork_database::webhook_queue::{self as queue, Claimed};
use zeitwork_model::reason::Reason;
use zeitwork_runtime::step;

use super::payload::{InstallationEvent, Named, RepositoryEvent};
use super::{End, Unended};
use crate::github::GithubError;
use crate::{World, commit};

/// `installation` and `installation_repositories`.
pub(super) async fn take(
    world: &World,
    claimed: &Claimed,
    event: &InstallationEvent,
) -> Result<(), Unended> {
    let id = event.installation.id;
    if let (Some(github), "suspend" | "deleted" | "removed") =
        (&world.outside.github, event.action.as_str())
    {
        github.forget_tokens(id);
    }
    let mut transaction = world.database.begin().await?;
    let mut end = End::processed();
    if let (Some(account), true) = (event.installation.account(), event.action != "deleted") {
        installations::note(&mut transaction, id, account).await?;
    }
    match event.action.as_str() {
        "suspend" => {
            installations::set_suspended(&mut transaction, id, true).await?;
            let reason = GithubError::Suspended.reason();
            steps::set_reasons(&mut transaction, Of::Installation(id), Some(&reason)).await?;
        }
        "unsuspend" => {
            installations::set_suspended(&mut transaction, id, false).await?;
            steps::set_reasons(&mut transaction, Of::Installation(id), None).await?;
        }
        "deleted" => {
            let reason = GithubError::InstallationGone.reason();
            steps::set_reasons(&mut transaction, Of::Installation(id), Some(&reason)).await?;
            steps::forget_installation(&mut transaction, id).await?;
            installations::delete(&mut transaction, id).await?;
        }
        "created" | "added" | "new_permissions_accepted" => {
            let names = names(event.repositories.iter().chain(&event.repositories_added));
            steps::touch(&mut transaction, &names).await?;
        }
        "removed" => {
            let ids: Vec<i64> = event.repositories_removed.iter().map(|it| it.id).collect();
            let text = "The repository was taken out of the GitHub App's installation: add it \
                        again in GitHub's settings.";
            let reason = Reason::new("repository_not_selected", text);
            steps::set_reasons(&mut transaction, Of::Repositories(&ids), Some(&reason)).await?;
        }
        other => end = End::ignored("action_not_used", format!("Nothing follows {other:?}.")),
    }
    queue::finish(&mut transaction, claimed, end.status, end.reason.as_ref()).await?;
    commit(step!("webhooks.installation"), transaction).await?;
    Ok(())
}

fn names<'a>(repositories: impl Iterator<Item = &'a Named>) -> Vec<String> {
    repositories.map(|repository| repository.full_name.clone()).collect()
}

/// `repository`: a new name, a new owner, or its end.
pub(super) async fn take_repository(
    world: &World,
    claimed: &Claimed,
    event: &RepositoryEvent,
) -> Result<(), Unended> {
    let (id, name) = (event.repository.id, &event.repository.full_name);
    let mut transaction = world.database.begin().await?;
    let mut end = End::processed();
    match event.action.as_str() {
        "renamed" | "transferred" => {
            if steps::rename(&mut transaction, id, name).await? == 0 {
                end = End::ignored("no_project", format!("No project has the repository {name}."));
            }
        }
        "deleted" => {
            let reason = Reason::new("repository_deleted", "The repository was deleted.");
            steps::set_reasons(&mut transaction, Of::Repositories(&[id]), Some(&reason)).await?;
        }
        other => end = End::ignored("action_not_used", format!("Nothing follows {other:?}.")),
    }
    queue::finish(&mut transaction, claimed, end.status, end.reason.as_ref()).await?;
    commit(step!("webhooks.repository"), transaction).await?;
    Ok(())
}
