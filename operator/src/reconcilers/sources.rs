//! Keeps sources known: repositories of GitHub by their numbers, references by their commits.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use zeitwork_database::steps;
use zeitwork_database::views::sources::{self as views, GithubProject, Waiting};
use zeitwork_model::deployment::DeploymentStatus;
use zeitwork_model::id::{DeploymentId, ProjectId};
use zeitwork_model::reason::Reason;
use zeitwork_runtime::{PassReport, Reconciler};

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

    async fn connect_all(&mut self, report: &mut PassReport) -> Result<(), Error> {
        let all = views::unresolved(&mut *self.world.database.acquire().await?).await?;
        self.projects.keep(|id| all.iter().any(|project| project.id == *id));
        let due: Vec<&GithubProject> =
            all.iter().filter(|it| self.projects.is_due(it.id, &it.updated_at)).collect();
        for project in due {
            report.seen += 1;
            let answer = connect(&self.world, project).await?;
            let (reason, asked) = match answer {
                Answer::Is(_) => {
                    report.changed += 1;
                    continue;
                }
                Answer::No(reason) => (reason, None),
                Answer::Later(reason, asked) => (reason, asked),
            };
            report.failed += 1;
            report.reasons.push(format!("{}: {}", project.id, reason.text));
            self.projects.put_off(project.id, project.updated_at, asked);
        }
        Ok(())
    }

    async fn resolve_all(&mut self, report: &mut PassReport) -> Result<(), Error> {
        let all = views::waiting(&mut *self.world.database.acquire().await?).await?;
        self.deployments.keep(|id| all.iter().any(|waiting| waiting.id == *id));
        let due = all.iter().filter(|it| self.deployments.is_due(it.id, &()));
        let asked: Vec<_> = due
            .map(|waiting| {
                let world = &self.world;
                async move { (waiting, commit::of(world, waiting).await) }
            })
            .collect();
        let answers = futures::StreamExt::collect::<Vec<_>>(futures::StreamExt::buffer_unordered(
            futures::stream::iter(asked),
            4,
        ));
        for (waiting, answer) in answers.await {
            report.seen += 1;
            match answer {
                Answer::Is(commit) => {
                    let mut connection = self.world.database.acquire().await?;
                    let done = steps::deployments::resolve(
                        &mut connection,
                        waiting.id,
                        &commit.sha,
                        &commit.message,
                        &commit.author,
                    );
                    report.changed += u64::from(unless_stale(done.await)?);
                }
                Answer::No(reason) => {
                    report.changed += u64::from(self.fail(waiting, &reason).await?);
                }
                Answer::Later(reason, _)
                    if waiting.seconds_left.is_some_and(|s| s < LAST_SECONDS) =>
                {
                    report.changed += u64::from(self.fail(waiting, &reason).await?);
                }
                Answer::Later(reason, asked) => {
                    report.failed += 1;
                    self.explain(waiting, &reason).await?;
                    report.reasons.push(format!("{}: {}", waiting.id, reason.text));
                    self.deployments.put_off(waiting.id, (), asked);
                }
            }
        }
        Ok(())
    }

    async fn explain(&self, waiting: &Waiting, reason: &Reason) -> Result<(), Error> {
        let (id, status) = (waiting.id, DeploymentStatus::Queued);
        let mut connection = self.world.database.acquire().await?;
        steps::deployments::explain(&mut connection, id, status, reason).await?;
        Ok(())
    }

    async fn fail(&self, waiting: &Waiting, reason: &Reason) -> Result<bool, Error> {
        let mut transaction = self.world.database.begin().await?;
        let (from, to) = ([DeploymentStatus::Queued], DeploymentStatus::Failed);
        let ended = steps::deployments::end(&mut transaction, waiting.id, &from, to, reason).await;
        let changed = match ended {
            Ok(changed) => changed,
            Err(zeitwork_database::Error::Stale(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        changed.journal(&mut transaction, "deployment.failed", &reason.text).await?;
        transaction.commit().await.map_err(zeitwork_database::Error::from)?;
        Ok(true)
    }
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
        let mut report = PassReport::default();
        self.connect_all(&mut report).await?;
        self.resolve_all(&mut report).await?;
        let waits = [self.projects.next(), self.deployments.next()];
        report.again_after = waits.into_iter().flatten().min();
        Ok(report)
    }
}
