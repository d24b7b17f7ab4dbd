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
use zeitwork_runtime::{PassReport, Reconciler, effect, step};

use super::sources::note_refusal;
use super::webhooks::{Origin, apply, follows_many, snapshot};
use crate::git_refs::{Question, References};
use crate::github::{Commit, Github};
use crate::waits::Waits;
use crate::{Error, World, commit as commit_to};

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
        let references = self.world.outside.refs.list(question);
        let references = effect(step!("heads.list"), references).await;
        let references = references.map_err(|error| Error::Unfit(error.reason().text))?;
        let mut wishes = 0;
        for follower in followers {
            wishes += self.look_at(github, (installation, project), follower, &references).await?;
        }
        Ok(wishes)
    }

    /// One environment; how many wishes were made.
    async fn look_at(
        &self,
        github: &Github,
        (installation, project): (i64, &GithubProject),
        mut follower: Follower,
        references: &References,
    ) -> Result<u64, Error> {
        let mut wishes = 0;
        let branches = followed(&follower, references);
        for (branch, head) in &branches {
            let commit =
                Commit { sha: (*head).to_owned(), message: String::new(), author: String::new() };
            let found = github.commit(installation, &project.repository, head);
            if let Some(now) = self.show(&follower, branch, commit, found).await? {
                follower = now;
                wishes += 1;
            }
        }
        if !is_begun(&follower) {
            self.begin(&follower, &branches).await?;
        }
        if follows_many(&follower) {
            let present: Vec<String> =
                branches.iter().map(|(branch, _)| (*branch).to_owned()).collect();
            let mut connection = self.world.database.acquire().await?;
            let forget = views::forget_branches(&mut connection, follower.id, &present);
            effect(step!("heads.forget"), forget).await?;
        }
        Ok(wishes)
    }

    /// Shows a head to an environment, as it was when the branches were asked for. If that made
    /// a wish: the environment as it is now.
    async fn show(
        &self,
        follower: &Follower,
        branch: &str,
        mut commit: Commit,
        found: impl Future<Output = Result<Option<Commit>, crate::github::GithubError>>,
    ) -> Result<Option<Follower>, Error> {
        let (organisation, id) = (follower.organisation_id, follower.id);
        let mut transaction = self.world.database.begin().await?;
        let shown = snapshot(&mut transaction, follower, branch).await?;
        let is_first_look = shown.commit.is_none() && !is_begun(follower);
        if is_first_look || shown.commit.as_deref() == Some(&commit.sha) {
            return Ok(None);
        }
        transaction.rollback().await.map_err(zeitwork_database::Error::from)?;
        if let Ok(Some(known)) = found.await {
            commit = known;
        }
        let mut transaction = self.world.database.begin().await?;
        let now = views::lock(&mut transaction, organisation, id).await?;
        let is_unresolved = views::is_unresolved(&mut transaction, organisation, id).await?;
        if now.as_ref() != Some(follower) || is_unresolved {
            return Ok(None);
        }
        let shown = snapshot(&mut transaction, follower, branch).await?;
        let wished = views::wished(&mut transaction, organisation, id, &commit.sha).await?;
        let head = Seen { commit: &commit.sha, generation: wished };
        let decision: Decision<'_> = plan::show(shown.known(), head);
        let origin = Origin { branch, delivery: None, request: None };
        let made = apply(&mut transaction, follower, decision, &commit, origin).await?;
        let now = views::lock(&mut transaction, organisation, id).await?;
        commit_to(step!("heads.show"), transaction).await?;
        Ok(now.filter(|_| made))
    }

    /// Remembers what is there, so that the next look tells what is new.
    async fn begin(&self, follower: &Follower, branches: &[(&str, &str)]) -> Result<(), Error> {
        let (organisation, id) = (follower.organisation_id, follower.id);
        let mut transaction = self.world.database.begin().await?;
        if follows_many(follower) {
            views::begin_pattern(&mut transaction, follower, branches).await?;
        } else {
            let head = branches.first().map(|(_, head)| *head).unwrap_or_default();
            views::begin(&mut transaction, organisation, id, head).await?;
        }
        commit_to(step!("heads.begin"), transaction).await
    }
}

/// Whether what the environment does not know is new.
fn is_begun(follower: &Follower) -> bool {
    if follows_many(follower) {
        follower.seen_pattern == follower.branch
    } else {
        follower.head_commit.is_some()
    }
}

/// The branches that an environment follows, with their heads.
fn followed<'a>(follower: &Follower, references: &'a References) -> Vec<(&'a str, &'a str)> {
    let default = references.default_branch().unwrap_or_default();
    let pattern = follower.branch.as_deref();
    references.branches().filter(|(branch, _)| follows(pattern, branch, default)).collect()
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
