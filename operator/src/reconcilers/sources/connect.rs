//! Finds the numbers behind the name of a GitHub repository, and whose installation it is.

use zeitwork_database::github_installations as installations;
use zeitwork_database::steps::sources as steps;
use zeitwork_database::views::sources::GithubProject;
use zeitwork_model::reason::Reason;
use zeitwork_runtime::{effect, step};

use super::{Answer, unless_stale};
use crate::github::{Github, GithubError, Installation, Repository};
use crate::{Error, World, commit};

/// The organisation whose projects claim installations that nobody has claimed.
const OWNER: &str = "owner";

/// A repository that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connected {
    pub(crate) installation_id: i64,
    pub(crate) repository_id: i64,
}

/// Resolves a project's repository and writes the numbers, or why it cannot be used.
pub(crate) async fn connect(
    world: &World,
    project: &GithubProject,
) -> Result<Answer<Connected>, Error> {
    let answer = find(world, project).await?;
    if let Answer::No(reason) | Answer::Later(reason, _) = &answer {
        let is_told = project.reason_code.as_deref() == Some(&reason.code)
            && project.reason_text.as_deref() == Some(&reason.text);
        // A source that worked is not called broken because GitHub rests.
        let is_passing = matches!(answer, Answer::Later(..)) && project.repository_id.is_some();
        if !is_told && !is_passing {
            let mut connection = world.database.acquire().await?;
            let set = steps::set_reason(&mut connection, project.id, &project.repository, reason);
            unless_stale(effect(step!("sources.set_reason"), set).await)?;
        }
    }
    Ok(answer)
}

async fn find(world: &World, project: &GithubProject) -> Result<Answer<Connected>, Error> {
    let Some(github) = &world.outside.github else {
        let text = "No GitHub App is configured: set ZEITWORK_GITHUB_APP_ID and its private key.";
        return Ok(Answer::No(Reason::new("github_not_configured", text)));
    };
    let asked = github.installation_of(&project.repository);
    let installation = match effect(step!("sources.find"), asked).await {
        Ok(installation) => installation,
        Err(GithubError::NotFound) => return moved(world, github, project).await,
        Err(error) => return Ok(refused(&error)),
    };
    let mut transaction = world.database.begin().await?;
    let suspended = installation.is_suspended;
    let claim = claim(&mut transaction, project, &installation).await?;
    installations::set_suspended(&mut transaction, installation.id, suspended).await?;
    commit(step!("sources.claim"), transaction).await?;
    if let Some(reason) = claim {
        return Ok(Answer::No(reason));
    }
    if suspended {
        return Ok(Answer::No(GithubError::Suspended.reason()));
    }
    match github.repository(installation.id, &project.repository).await {
        Ok(repository) => write(world, github, project, installation.id, &repository).await,
        Err(error) => Ok(refused(&error)),
    }
}

/// Claims the installation where that may be; else the reason why the project must not use it.
async fn claim(
    connection: &mut zeitwork_database::PgConnection,
    project: &GithubProject,
    found: &Installation,
) -> Result<Option<Reason>, Error> {
    installations::note(connection, found.id, &found.account).await?;
    if project.organisation == OWNER {
        let organisation = project.organisation_id;
        installations::claim(connection, found.id, organisation).await?;
    }
    let holder = installations::holder(connection, found.id).await?;
    if holder == Some(project.organisation_id) {
        return Ok(None);
    }
    let text = format!(
        "The installation of the GitHub App in {} belongs to no or another organisation here: \
         this platform's owner can give it to yours (`zeitwork installations assign {} \
         --organisation {}`).",
        found.account, found.id, project.organisation
    );
    Ok(Some(Reason::new("installation_not_claimed", text)))
}

async fn write(
    world: &World,
    github: &Github,
    project: &GithubProject,
    installation: i64,
    found: &Repository,
) -> Result<Answer<Connected>, Error> {
    if project.repository_id.is_some_and(|id| id != found.id) {
        return moved(world, github, project).await;
    }
    let mut connection = world.database.acquire().await?;
    let (id, name) = (project.id, &project.repository);
    let connect = steps::connect(&mut connection, id, name, installation, found.id);
    if !unless_stale(effect(step!("sources.connect"), connect).await)? {
        let reason = Reason::new("source_changed", "The source was changed meanwhile.");
        return Ok(Answer::Later(reason, None));
    }
    Ok(Answer::Is(Connected { installation_id: installation, repository_id: found.id }))
}

/// The name leads nowhere, or to another repository: the number says where ours is.
async fn moved(
    world: &World,
    github: &Github,
    project: &GithubProject,
) -> Result<Answer<Connected>, Error> {
    let not_installed = || {
        let text = format!(
            "The GitHub App is not installed for {}: check the name, and install it there.",
            project.repository
        );
        Ok(Answer::No(Reason::new("app_not_installed", text)))
    };
    let (Some(id), Some(installation)) = (project.repository_id, project.installation_id) else {
        return not_installed();
    };
    match github.repository_by_id(installation, id).await {
        Ok(found) if !found.full_name.eq_ignore_ascii_case(&project.repository) => {
            let mut connection = world.database.acquire().await?;
            let rename = steps::rename(&mut connection, id, &found.full_name);
            effect(step!("sources.rename"), rename).await?;
            let reason = Reason::new("repository_renamed", "The repository has a new name.");
            Ok(Answer::Later(reason, None))
        }
        Ok(_) | Err(GithubError::NotFound | GithubError::InstallationGone) => not_installed(),
        Err(error) => Ok(refused(&error)),
    }
}

fn refused<T>(error: &GithubError) -> Answer<T> {
    // A new installation is found by name at the next attempt.
    if error.is_transient() || matches!(error, GithubError::InstallationGone) {
        Answer::Later(error.reason(), error.asked_wait())
    } else {
        Answer::No(error.reason())
    }
}

/// What a refusal of a call says about the installation that it was made through.
pub(crate) async fn note_refusal(
    world: &World,
    installation: i64,
    error: &GithubError,
) -> Result<(), Error> {
    let mut transaction = world.database.begin().await?;
    match error {
        GithubError::InstallationGone | GithubError::NotFound => {
            steps::forget_installation(&mut transaction, installation).await?;
        }
        GithubError::Suspended => {
            installations::set_suspended(&mut transaction, installation, true).await?;
            let of = steps::Of::Installation(installation);
            steps::set_reasons(&mut transaction, of, Some(&error.reason())).await?;
        }
        _ => return Ok(()),
    }
    commit(step!("sources.note_refusal"), transaction).await
}
