//! Keeps sources known: repositories of GitHub by their numbers, references by their commits.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use time::OffsetDateTime;
use zeitwork_database::steps;
use zeitwork_database::views::sources::{self as views, GithubProject, Waiting};
use zeitwork_model::deployment::DeploymentStatus;
use zeitwork_model::id::{DeploymentId, ProjectId};
use zeitwork_model::project::SourceKind;
use zeitwork_model::reason::Reason;
use zeitwork_runtime::lifecycle::chain;
use zeitwork_runtime::{PassReport, Reconciler, effect, step};

use crate::waits::Waits;
use crate::{Error, World};

mod commit;
mod connect;
#[cfg(test)]
mod tests;

pub(crate) use connect::{connect, note_refusal};

/// A refusal is looked at again this often: at most one call a minute.
const PROJECT_CAP: Duration = Duration::from_mins(1);
/// A git server that does not answer is asked again this often.
const DEPLOYMENT_CAP: Duration = Duration::from_secs(30);
/// Questions asked at once, of each kind.
const AT_ONCE: usize = 4;
/// One question with all that it takes; the others do not wait for it longer.
const LIMIT: Duration = Duration::from_secs(40);
const TOO_LONG: &str = "took longer than 40 s";
/// Where less time than this is left, the source's own reason is better than "took too long".
const LAST_SECONDS: f64 = 15.0;

/// The reconciler.
#[derive(Debug)]
pub struct Sources {
    world: Arc<World>,
    projects: Waits<ProjectId, OffsetDateTime>,
    deployments: Waits<DeploymentId, ()>,
}

/// What became of a question.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    /// Settled.
    Is(T),
    /// No answer yet: ask again, not before the time that was asked for.
    Later(Reason, Option<Duration>),
    /// Somebody has to do something about it.
    No(Reason),
}

impl Sources {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        Self {
            world: Arc::clone(world),
            projects: Waits::new(PROJECT_CAP),
            deployments: Waits::new(DEPLOYMENT_CAP),
        }
    }
}

/// Resolves the repositories that are due.
async fn connect_all(
    world: &World,
    waits: &mut Waits<ProjectId, OffsetDateTime>,
) -> Result<PassReport, Error> {
    let mut report = PassReport::default();
    let all = views::unresolved(&mut *world.database.acquire().await?).await?;
    waits.keep(|id| all.iter().any(|project| project.id == *id));
    let due: Vec<&GithubProject> =
        all.iter().filter(|it| waits.is_due(it.id, &it.updated_at)).collect();
    let asked = due.into_iter().map(|project| async move {
        (project, tokio::time::timeout(LIMIT, connect(world, project)).await)
    });
    let asked: Vec<_> = asked.collect();
    let mut answers = futures::stream::iter(asked).buffer_unordered(AT_ONCE);
    while let Some((project, answer)) = answers.next().await {
        report.seen += 1;
        let (why, asked) = match answer {
            Ok(Ok(Answer::Is(_))) => {
                report.changed += 1;
                continue;
            }
            Ok(Ok(Answer::No(reason))) => (reason.text, None),
            Ok(Ok(Answer::Later(reason, asked))) => (reason.text, asked),
            Ok(Err(error)) => (chain(&error), None),
            Err(_) => (TOO_LONG.to_owned(), None),
        };
        report.failed += 1;
        report.reasons.push(format!("{}: {why}", project.id));
        waits.put_off(project.id, project.updated_at, asked);
    }
    report.again_after = waits.next();
    Ok(report)
}

/// Finds the commits that deployments wait for, of the sources that satisfy a test.
async fn resolve_all(
    world: &World,
    waits: &mut Waits<DeploymentId, ()>,
    of: fn(&Waiting) -> bool,
) -> Result<PassReport, Error> {
    let mut report = PassReport::default();
    let all = views::waiting(&mut *world.database.acquire().await?).await?;
    waits.keep(|id| all.iter().any(|waiting| waiting.id == *id));
    let due = all.iter().filter(|it| of(it) && waits.is_due(it.id, &()));
    let asked = due.map(|waiting| async move {
        (waiting, tokio::time::timeout(LIMIT, resolve(world, waiting)).await)
    });
    let asked: Vec<_> = asked.collect();
    let mut answers = futures::stream::iter(asked).buffer_unordered(AT_ONCE);
    while let Some((waiting, answer)) = answers.next().await {
        report.seen += 1;
        let (why, asked) = match answer {
            Ok(Ok(Resolved::Now(changed))) => {
                report.changed += u64::from(changed);
                continue;
            }
            Ok(Ok(Resolved::Later(reason, asked))) => (reason.text, asked),
            Ok(Err(error)) => (chain(&error), None),
            Err(_) => (TOO_LONG.to_owned(), None),
        };
        report.failed += 1;
        report.reasons.push(format!("{}: {why}", waiting.id));
        waits.put_off(waiting.id, (), asked);
    }
    report.again_after = waits.next();
    Ok(report)
}

/// What became of a deployment that waited for its commit.
enum Resolved {
    /// It waits no more; whether we have written that.
    Now(bool),
    Later(Reason, Option<Duration>),
}

/// Its repository has no number yet: there is nothing to ask before it has.
fn is_unconnected(waiting: &Waiting) -> bool {
    waiting.source_kind == SourceKind::Github
        && waiting.reason_code.is_none()
        && (waiting.installation_id.is_none() || waiting.repository_id.is_none())
}

async fn resolve(world: &World, waiting: &Waiting) -> Result<Resolved, Error> {
    match effect(step!("sources.ask"), commit::of(world, waiting)).await {
        Answer::Is(commit) => {
            let mut connection = world.database.acquire().await?;
            let (sha, message, author) = (&commit.sha, &commit.message, &commit.author);
            let done =
                steps::deployments::resolve(&mut connection, waiting.id, sha, message, author);
            let done = effect(step!("sources.resolve"), done).await;
            Ok(Resolved::Now(unless_stale(done)?))
        }
        Answer::No(reason) => Ok(Resolved::Now(fail(world, waiting, &reason).await?)),
        Answer::Later(reason, _) if waiting.seconds_left.is_some_and(|s| s < LAST_SECONDS) => {
            Ok(Resolved::Now(fail(world, waiting, &reason).await?))
        }
        Answer::Later(reason, asked) => {
            let (id, status) = (waiting.id, DeploymentStatus::Queued);
            let mut connection = world.database.acquire().await?;
            let explain = steps::deployments::explain(&mut connection, id, status, &reason);
            effect(step!("sources.explain"), explain).await?;
            Ok(Resolved::Later(reason, asked))
        }
    }
}

async fn fail(world: &World, waiting: &Waiting, reason: &Reason) -> Result<bool, Error> {
    let mut transaction = world.database.begin().await?;
    steps::deployments::lock_environment(&mut transaction, waiting.id).await?;
    let (from, to) = ([DeploymentStatus::Queued], DeploymentStatus::Failed);
    let ended = steps::deployments::end(&mut transaction, waiting.id, &from, to, reason).await;
    let changed = match ended {
        Ok(changed) => changed,
        Err(zeitwork_database::Error::Stale(_)) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    changed.journal(&mut transaction, "deployment.failed", &reason.text).await?;
    crate::commit(step!("sources.fail"), transaction).await?;
    Ok(true)
}

/// Whether it was done; somebody else was faster otherwise.
fn unless_stale(done: zeitwork_database::Result<()>) -> Result<bool, Error> {
    match done {
        Ok(()) => Ok(true),
        Err(zeitwork_database::Error::Stale(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Reconciler for Sources {
    const NAME: &'static str = "sources";
    type Error = Error;

    async fn pass(&mut self) -> Result<PassReport, Error> {
        let Self { world, projects, deployments } = self;
        // Neither waits for the other: GitHub may hang while a plain git server answers.
        let (connected, resolved) = tokio::join!(
            connect_all(world, projects),
            resolve_all(world, deployments, |waiting| !is_unconnected(waiting))
        );
        let rest = resolve_all(world, deployments, |_| true).await;
        Ok(connected?.and(resolved?).and(rest?))
    }
}
