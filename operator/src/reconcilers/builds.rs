//! `builds`: every deployment gets its image, built once.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use time::OffsetDateTime;

use zeitwork_database::steps::builds;
use zeitwork_database::steps::deployments::{self, Overdue, Ready};
use zeitwork_database::views::builds as view;
use zeitwork_database::views::builds::{Open, Unbuilt};
use zeitwork_database::{PgConnection, images};
use zeitwork_model::build::BuildStatus;
use zeitwork_model::deployment::DeploymentStatus;
use zeitwork_model::id::BuildId;
use zeitwork_model::reason::Reason;
use zeitwork_planning::builds::{Action, Build, Builder, View, plan, room, waiting};
use zeitwork_runtime::failpoint::Step;
use zeitwork_runtime::{PassReport, Reconciler, effect, step};

use crate::each::{Done, Keys};
use crate::waits::Waits;
use crate::{Error, World, commit};

#[cfg(test)]
mod tests;

/// What a build may take, and a little more than the node is told: it ends it first.
const TIMEOUT_SECONDS: f64 = crate::target::BUILD_TIMEOUT_SECONDS as f64 + 60.0;

/// A source that cannot be read is asked for again this often.
const SOURCE_CAP: Duration = Duration::from_secs(30);
/// The reason of what waits for one.
const SOURCE_UNAVAILABLE: &str = "source_unavailable";
/// Sources asked for at once.
const AT_ONCE: usize = 4;

/// Keeps the queue of builds moving.
#[derive(Debug)]
pub struct Builds {
    world: Arc<World>,
    /// Builds whose source cannot be read now.
    unreadable: Waits<BuildId, ()>,
    keys: Keys,
}

impl Builds {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        let keys = Keys::new(Self::NAME, step!("builds.build"));
        Self { world: world.clone(), unreadable: Waits::new(SOURCE_CAP), keys }
    }

    /// Of the plan, what can be carried out: a build whose source GitHub does not let us read now
    /// is given to nobody, so that no attempt is lost to that, and says why.
    async fn readable(&mut self, open: &[Open], actions: Vec<Action>) -> Vec<Work> {
        let world = &self.world;
        let asked = actions.into_iter().map(|action| async move {
            let build = open.iter().find(|b| b.id == action.build());
            let refused = match (&action, build) {
                (Action::Claim(..), Some(build)) => source_of(world, build).await.err(),
                _ => None,
            };
            (action, refused)
        });
        let asked: Vec<_> = asked.collect();
        let mut answers = futures::stream::iter(asked).buffered(AT_ONCE);
        let mut works = Vec::new();
        while let Some((action, refused)) = answers.next().await {
            works.push(match refused {
                None => Work::Do(action),
                Some(reason) => {
                    self.unreadable.put_off(action.build(), (), None);
                    Work::Explain(action.build(), reason)
                }
            });
        }
        works
    }
}

/// What is to be done about one build.
enum Work {
    Do(Action),
    Explain(BuildId, Reason),
}

impl Work {
    const fn build(&self) -> BuildId {
        match self {
            Self::Do(action) => action.build(),
            Self::Explain(id, _) => *id,
        }
    }
}

/// Says of every build that waits what it waits for, where that is not written yet.
fn explanations(view: &View, planned: &[Action], open: &[Open]) -> Vec<Work> {
    let waiting = view.builds.iter().zip(open).filter_map(|(build, row)| {
        let reason = waiting(view, planned, build)?;
        let is_news = row.reason_text.as_ref() != Some(&reason.text);
        is_news.then_some(Work::Explain(build.id, reason))
    });
    waiting.collect()
}

/// Makes sure that its node will be able to read the source; the token is then at hand.
async fn source_of(world: &World, build: &Open) -> Result<(), Reason> {
    let (Some(github), Some(installation), Some(repository)) =
        (&world.outside.github, build.installation_id, build.repository_id)
    else {
        return Ok(());
    };
    let asked = github.read_authorization(installation, repository);
    let asked = effect(step!("builds.read_source"), asked);
    match tokio::time::timeout(crate::target::TOKEN_LIMIT, asked).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(unavailable(&error.reason().text)),
        Err(_) => Err(unavailable("GitHub does not answer at the moment; it is asked again.")),
    }
}

/// Why a build waits for GitHub.
pub(crate) fn unavailable(what: &str) -> Reason {
    Reason::new(SOURCE_UNAVAILABLE, format!("The repository cannot be read: {what}"))
}

impl Reconciler for Builds {
    const NAME: &'static str = "builds";
    type Error = Error;

    async fn pass(&mut self) -> Result<PassReport, Error> {
        let mut report = PassReport::default();
        let world = Arc::clone(&self.world);
        let world = &*world;
        let (unbuilt, overdue) = {
            let mut connection = world.database.acquire().await?;
            (view::unbuilt(&mut connection).await?, deployments::overdue(&mut connection).await?)
        };
        let works = unbuilt.iter().map(|u| (u.id.to_string(), find_build(world, u))).collect();
        self.keys.work(&mut report, works).await;
        let works = overdue.iter().map(|it| (it.id.to_string(), give_up(world, it))).collect();
        self.keys.work(&mut report, works).await;
        let (view, open) = read(world, &self.unreadable).await?;
        self.unreadable.keep(|id| open.iter().any(|build| build.id == *id));
        let actions = plan(&view);
        let mut works = explanations(&view, &actions, &open);
        works.extend(self.readable(&open, actions).await);
        let works = works.iter().map(|it| (it.build().to_string(), carry_out(world, &open, it)));
        self.keys.work(&mut report, works.collect()).await;
        report.seen = (open.len() + unbuilt.len() + overdue.len()) as u64;
        Ok(report)
    }
}

/// An image of the same, a build of the same, or a new build.
async fn find_build(world: &World, unbuilt: &Unbuilt) -> Result<Done, Error> {
    let mut transaction = world.database.begin().await?;
    let connection = &mut *transaction;
    let step = match (unbuilt.ready_image, unbuilt.open_build) {
        (Some(image), _) => {
            deployments::lock_environment(connection, unbuilt.id).await?;
            if !images::hold(connection, image).await? {
                // Retention has just given it up: the next pass does not find it.
                return Ok(Done::default());
            }
            let started = deployments::start(connection, Ready::Found(unbuilt.id), image).await?;
            for deployment in started {
                let text = "The image was built before.";
                deployment.journal(connection, "deployment.starting", text).await?;
            }
            step!("builds.reuse")
        }
        (None, Some(build)) => {
            builds::join(connection, unbuilt.id, build).await?;
            step!("builds.join")
        }
        (None, None) => {
            builds::queue(connection, unbuilt).await?;
            step!("builds.queue")
        }
    };
    commit(step, transaction).await?;
    Ok(Done::steps(1))
}

/// A deployment that has waited beyond its deadline, whatever for.
async fn give_up(world: &World, overdue: &Overdue) -> Result<Done, Error> {
    let mut transaction = world.database.begin().await?;
    let connection = &mut *transaction;
    let (code, text) = match (overdue.status, overdue.has_commit) {
        (DeploymentStatus::Building, _) => ("timeout", "Its build did not end in time."),
        (_, true) => ("no_builder", "No build of it could be queued for 30 minutes."),
        (_, false) => {
            ("commit_unknown", "Its commit could not be found in the repository for 30 minutes.")
        }
    };
    let reason = Reason::new(code, text);
    deployments::lock_environment(connection, overdue.id).await?;
    let (from, to) = ([overdue.status], DeploymentStatus::Failed);
    let failed = deployments::end(connection, overdue.id, &from, to, &reason).await?;
    failed.journal(connection, "deployment.failed", text).await?;
    commit(step!("builds.give_up"), transaction).await?;
    Ok(Done::steps(1))
}

async fn read(world: &World, unreadable: &Waits<BuildId, ()>) -> Result<(View, Vec<Open>), Error> {
    let mut connection = world.database.acquire().await?;
    let open = view::open(&mut connection).await?;
    let builders = view::builders(&mut connection).await?;
    let now = zeitwork_database::installation::now(&mut connection).await?;
    let hindrance = builders.iter().find_map(|builder| builder.hindrance.clone());
    let nodes = builders
        .iter()
        .filter(|builder| builder.hindrance.is_none())
        .map(|b| Builder { id: b.id, room: room(u32::try_from(b.cores).unwrap_or(1)) });
    let builds = open.iter().map(|row| build(row, now, unreadable)).collect();
    let view = View { now, builds, nodes: nodes.collect(), hindrance };
    Ok((view, open))
}

fn build(row: &Open, now: OffsetDateTime, unreadable: &Waits<BuildId, ()>) -> Build {
    let is_over = row.deadline_at.is_some_and(|deadline| deadline <= now);
    let waits = is_over || !unreadable.is_due(row.id, &());
    let code = row.reason_code.as_deref().filter(|code| waits && *code == SOURCE_UNAVAILABLE);
    let reason = code.zip(row.reason_text.as_deref());
    Build {
        id: row.id,
        organisation: row.organisation_id,
        project: row.project_id,
        priority: row.priority,
        created_at: row.created_at,
        not_before: row.not_before,
        deadline_at: row.deadline_at,
        lease: row.node_id.zip(row.lease_until),
        attempt: row.attempt,
        maximum_attempts: row.maximum_attempts,
        cancel_requested: row.cancel_requested,
        is_wanted: row.is_wanted,
        unreadable: reason.map(|(code, text)| Reason::new(code, text)),
    }
}

async fn carry_out(world: &World, open: &[Open], work: &Work) -> Result<Done, Error> {
    match work {
        Work::Do(action) => apply(world, open, action).await,
        Work::Explain(id, reason) => {
            let mut transaction = world.database.begin().await?;
            builds::explain(&mut transaction, *id, reason).await?;
            commit(step!("builds.explain"), transaction).await?;
            Ok(Done::default())
        }
    }
}

async fn apply(world: &World, open: &[Open], action: &Action) -> Result<Done, Error> {
    let id = action.build();
    let Some(build) = open.iter().find(|b| b.id == id) else { return Ok(Done::default()) };
    let mut transaction = world.database.begin().await?;
    let connection = &mut *transaction;
    let attempt = build.attempt;
    match action {
        Action::Claim(_, node) => builds::claim(connection, id, *node, TIMEOUT_SECONDS).await?,
        Action::Requeue(_) => builds::requeue(connection, id, attempt).await?,
        Action::Fail(_, reason) => fail(connection, id, attempt, reason).await?,
        Action::Cancel(_) => cancel(connection, id, attempt).await?,
        Action::Supersede(_) => {
            builds::end(connection, id, attempt, BuildStatus::Superseded, None).await?;
        }
    }
    commit(step_of(action), transaction).await?;
    Ok(Done::steps(1))
}

const fn step_of(action: &Action) -> Step {
    match action {
        Action::Claim(..) => step!("builds.claim"),
        Action::Requeue(_) => step!("builds.requeue"),
        Action::Fail(..) => step!("builds.fail"),
        Action::Cancel(_) => step!("builds.cancel"),
        Action::Supersede(_) => step!("builds.supersede"),
    }
}

/// Ends a build and all that wait for it: somebody asked for that.
async fn cancel(connection: &mut PgConnection, id: BuildId, attempt: i32) -> Result<(), Error> {
    deployments::lock_environments(connection, id).await?;
    builds::end(connection, id, attempt, BuildStatus::Cancelled, None).await?;
    let reason = Reason::new("cancelled", "The build was cancelled.");
    let ended = deployments::end_of_build(connection, id, DeploymentStatus::Cancelled, &reason);
    for deployment in ended.await? {
        deployment.journal(connection, "deployment.cancelled", &reason.text).await?;
    }
    Ok(())
}

/// Ends a build and all that wait for it, with the same reason.
pub(crate) async fn fail(
    connection: &mut PgConnection,
    id: BuildId,
    attempt: i32,
    reason: &Reason,
) -> Result<(), Error> {
    deployments::lock_environments(connection, id).await?;
    builds::end(connection, id, attempt, BuildStatus::Failed, Some(reason)).await?;
    let failed =
        deployments::end_of_build(connection, id, DeploymentStatus::Failed, reason).await?;
    for deployment in failed {
        deployment.journal(connection, "deployment.failed", &reason.text).await?;
    }
    Ok(())
}
