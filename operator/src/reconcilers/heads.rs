//! Looks at the branches themselves, because webhooks get lost: what a head shows and nobody
//! told is wished for. The first look at a project only remembers what is there.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::Instant;
use zeitwork_database::views::heads::{self as views, Follower};
use zeitwork_database::views::sources::{self, GithubProject};
use zeitwork_model::id::ProjectId;
use zeitwork_planning::branches::follows;
use zeitwork_planning::webhooks::{self as plan, Decision, Seen};
use zeitwork_runtime::lifecycle::chain;
use zeitwork_runtime::{PassReport, Reconciler};

use super::sources::note_refusal;
use super::webhooks::{Origin, apply, snapshot};
use crate::git_refs::{Question, References};
use crate::github::{Commit, Github};
use crate::waits::Waits;
use crate::{Error, World};

#[cfg(test)]
mod tests;

/// Time between two looks at everything.
const SWEEP: Duration = Duration::from_mins(2);
/// Projects looked at in one pass; a sweep of more goes on in the next.
const BATCH: i64 = 100;
const CAP: Duration = Duration::from_mins(2);
/// Projects looked at at once.
const AT_ONCE: usize = 4;
/// One project, however many branches it has; the others do not wait for it longer.
const LIMIT: Duration = Duration::from_secs(30);

/// The reconciler.
#[derive(Debug)]
pub struct Heads {
    world: Arc<World>,
    next_sweep: Instant,
    /// Where a sweep of many projects goes on.
    after: Option<ProjectId>,
    waits: Waits<ProjectId, ()>,
}

impl Heads {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        let (next_sweep, waits) = (Instant::now(), Waits::new(CAP));
        Self { world: Arc::clone(world), next_sweep, after: None, waits }
    }

    /// The projects whose turn it is.
    async fn due(&mut self) -> Result<Vec<GithubProject>, Error> {
        let mut connection = self.world.database.acquire().await?;
        let mut due = Vec::new();
        if self.next_sweep <= Instant::now() {
            due = sources::connected(&mut connection, self.after, BATCH).await?;
            let is_full = i64::try_from(due.len()).is_ok_and(|found| found == BATCH);
            self.after = due.last().filter(|_| is_full).map(|project| project.id);
            if self.after.is_none() {
                self.next_sweep = Instant::now() + SWEEP;
            }
        }
        for id in views::unseen(&mut connection).await? {
            if self.waits.is_due(id, &()) && !due.iter().any(|project| project.id == id) {
                due.extend(sources::connected_one(&mut connection, id).await?);
            }
        }
        Ok(due)
    }

    /// How many wishes were made.
    async fn look(&self, github: &Github, project: &GithubProject) -> Result<u64, Error> {
        let (Some(installation), Some(repository)) =
            (project.installation_id, project.repository_id)
        else {
            return Ok(0);
        };
        let mut connection = self.world.database.acquire().await?;
        let organisation = project.organisation_id;
        let followers = views::followers(&mut connection, organisation, project.id).await?;
        drop(connection);
        let authorization = match github.read_authorization(installation, repository).await {
            Ok(authorization) => authorization,
            Err(error) => {
                note_refusal(&self.world, installation, &error).await?;
                return Err(error.into());
            }
        };
        let url = github.clone_url(&project.repository);
        let question = Question { url: &url, authorization: Some(&authorization), is_ours: true };
        let references = self.world.outside.refs.list(question).await;
        let references = references.map_err(|error| Error::Unfit(error.reason().text))?;
        let mut wishes = 0;
        for follower in &followers {
            for (branch, head) in followed(follower, &references) {
                let commit =
                    Commit { sha: head.to_owned(), message: String::new(), author: String::new() };
                let found = github.commit(installation, &project.repository, head);
                wishes += u64::from(self.show(follower, branch, commit, found).await?);
            }
            if follower.head_commit.is_none() {
                self.begin(follower, &references).await?;
            }
        }
        Ok(wishes)
    }

    /// Shows a head to an environment, as it was when the branches were asked for; whether that
    /// made a wish.
    async fn show(
        &self,
        follower: &Follower,
        branch: &str,
        mut commit: Commit,
        found: impl Future<Output = Result<Option<Commit>, crate::github::GithubError>>,
    ) -> Result<bool, Error> {
        let (organisation, id) = (follower.organisation_id, follower.id);
        let mut transaction = self.world.database.begin().await?;
        let shown = snapshot(&mut transaction, follower, branch).await?;
        if shown.commit.is_none() || shown.commit.as_deref() == Some(&commit.sha) {
            return Ok(false);
        }
        transaction.rollback().await.map_err(zeitwork_database::Error::from)?;
        if let Ok(Some(known)) = found.await {
            commit = known;
        }
        let mut transaction = self.world.database.begin().await?;
        let now = views::lock(&mut transaction, organisation, id).await?;
        let is_unresolved = views::is_unresolved(&mut transaction, organisation, id).await?;
        if now.as_ref() != Some(follower) || is_unresolved {
            return Ok(false);
        }
        let shown = snapshot(&mut transaction, follower, branch).await?;
        let wished = views::wished(&mut transaction, organisation, id, &commit.sha).await?;
        let head = Seen { commit: &commit.sha, generation: wished };
        let decision: Decision<'_> = plan::show(shown.known(), head);
        let origin = Origin { branch, delivery: None, request: None };
        let made = apply(&mut transaction, follower, decision, &commit, origin).await?;
        transaction.commit().await.map_err(zeitwork_database::Error::from)?;
        Ok(made)
    }

    /// Remembers what is there, so that the next look tells what is new.
    async fn begin(&self, follower: &Follower, references: &References) -> Result<(), Error> {
        let head = followed(follower, references).next().map(|(_, head)| head);
        let head = head.unwrap_or_default();
        let (organisation, id) = (follower.organisation_id, follower.id);
        let mut connection = self.world.database.acquire().await?;
        views::begin(&mut connection, organisation, id, head).await?;
        Ok(())
    }
}

/// The branches that an environment follows, with their heads.
fn followed<'a>(
    follower: &'a Follower,
    references: &'a References,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let default = references.default_branch().unwrap_or_default();
    let pattern = follower.branch.as_deref();
    references.branches().filter(move |(branch, _)| follows(pattern, branch, default))
}

impl Reconciler for Heads {
    const NAME: &'static str = "heads";
    type Error = Error;

    async fn pass(&mut self) -> Result<PassReport, Error> {
        let mut report = PassReport::default();
        let Some(github) = self.world.outside.github.clone() else { return Ok(report) };
        let due = self.due().await?;
        let looks = due.iter().map(|project| {
            let look = tokio::time::timeout(LIMIT, self.look(&github, project));
            async move { (project.id, look.await) }
        });
        let looks: Vec<_> = looks.collect();
        let looked: Vec<_> = futures::stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
        for (project, outcome) in looked {
            report.seen += 1;
            let why = match outcome {
                Ok(Ok(wishes)) => {
                    report.changed += wishes;
                    report.drift += wishes;
                    continue;
                }
                Ok(Err(error)) => chain(&error),
                Err(_) => format!("took longer than {} s", LIMIT.as_secs()),
            };
            report.failed += 1;
            report.reasons.push(format!("{project}: {why}"));
            self.waits.put_off(project, (), None);
        }
        let sweep = self.next_sweep.saturating_duration_since(Instant::now());
        report.again_after = Some(sweep.min(self.waits.next().unwrap_or(sweep)));
        Ok(report)
    }
}
