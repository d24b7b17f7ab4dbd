//! `builds`: every deployment gets its image, built once.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use time::OffsetDateTime;

use zeitwork_database::steps::builds;
use zeitwork_database::steps::deployments::{self, Ready};
use zeitwork_database::views::builds as view;
use zeitwork_database::views::builds::{Open, Unbuilt};
use zeitwork_model::build::BuildStatus;
use zeitwork_model::deployment::DeploymentStatus;
use zeitwork_model::id::{BuildId, DeploymentId};
use zeitwork_model::reason::Reason;
use zeitwork_planning::builds::{Action, Build, Builder, View, plan, room, waiting};
use zeitwork_runtime::{PassReport, Reconciler};

use crate::each::{Done, each};
use crate::waits::Waits;
use crate::{Error, World};

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
}

impl Builds {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        Self { world: world.clone(), unreadable: Waits::new(SOURCE_CAP) }
    }

    /// Of the plan, what can be carried out: a build whose source GitHub does not let us read now
    /// is given to nobody, so that no attempt is lost to that.
    async fn readable(
        &mut self,
        open: &[Open],
        actions: Vec<Action>,
    ) -> Result<Vec<Action>, Error> {
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
        let mut rest = Vec::new();
        while let Some((action, refused)) = answers.next().await {
            let Some(reason) = refused else {
                rest.push(action);
                continue;
            };
            self.unreadable.put_off(action.build(), (), None);
            let mut connection = world.database.acquire().await?;
            builds::explain(&mut connection, action.build(), &reason).await?;
        }
        Ok(rest)
    }

    /// Says of every build that waits what it waits for.
    async fn explain(&self, view: &View, planned: &[Action], open: &[Open]) -> Result<(), Error> {
        for (build, row) in view.builds.iter().zip(open) {
            let Some(reason) = waiting(view, planned, build) else { continue };
            if row.reason_text.as_ref() != Some(&reason.text) {
                let mut connection = self.world.database.acquire().await?;
                builds::explain(&mut connection, build.id, &reason).await?;
            }
        }
        Ok(())
    }
}

/// Makes sure that its node will be able to read the source; the token is then at hand.
async fn source_of(world: &World, build: &Open) -> Result<(), Reason> {
    let (Some(github), Some(installation), Some(repository)) =
        (&world.outside.github, build.installation_id, build.repository_id)
    else {
        return Ok(());
    };
    let asked = github.read_authorization(installation, repository);
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
        each(Self::NAME, &mut report, works).await;
        let works = overdue.iter().map(|&id| (id.to_string(), give_up(world, id))).collect();
        each(Self::NAME, &mut report, works).await;
        let (view, open) = read(world, &self.unreadable).await?;
        self.unreadable.keep(|id| open.iter().any(|build| build.id == *id));
        let actions = plan(&view);
        self.explain(&view, &actions, &open).await?;
        let actions = self.readable(&open, actions).await?;
        let works = actions
            .iter()
            .map(|action| (action.build().to_string(), apply(world, &open, action)))
            .collect();
        each(Self::NAME, &mut report, works).await;
        report.seen += open.len() as u64;
        Ok(report)
    }
}

/// An image of the same, a build of the same, or a new build.
async fn find_build(world: &World, unbuilt: &Unbuilt) -> Result<Done, Error> {
    let mut transaction = world.database.begin().await?;
    let connection = &mut *transaction;
    match (unbuilt.ready_image, unbuilt.open_build) {
        (Some(image), _) => {
            let started = deployments::start(connection, Ready::Found(unbuilt.id), image).await?;
            for deployment in started {
                let text = "The image was built before.";
                deployment.journal(connection, "deployment.starting", text).await?;
            }
        }
        (None, Some(build)) => builds::join(connection, unbuilt.id, build).await?,
        (None, None) => {
            builds::queue(connection, unbuilt).await?;
        }
    }
    transaction.commit().await.map_err(zeitwork_database::Error::from)?;
    Ok(Done::steps(1))
}

/// A deployment whose commit was never found.
async fn give_up(world: &World, id: DeploymentId) -> Result<Done, Error> {
    let mut transaction = world.database.begin().await?;
    let connection = &mut *transaction;
    let text = "Its commit could not be found in the repository for 30 minutes.";
    let reason = Reason::new("commit_unknown", text);
    let from = [DeploymentStatus::Queued];
    let failed = deployments::end(connection, id, &from, DeploymentStatus::Failed, &reason).await?;
    failed.journal(connection, "deployment.failed", text).await?;
    transaction.commit().await.map_err(zeitwork_database::Error::from)?;
    Ok(Done::steps(1))
}

async fn read(world: &World, unreadable: &Waits<BuildId, ()>) -> Result<(View, Vec<Open>), Error> {
    let mut connection = world.database.acquire().await?;
    let open = view::open(&mut connection).await?;
    let builders = view::builders(&mut connection).await?;
    let now = zeitwork_database::installation::now(&mut connection).await?;
    let nodes = builders
        .iter()
        .map(|b| Builder { id: b.id, room: room(u32::try_from(b.cores).unwrap_or(1)) });
    let builds = open.iter().map(|row| build(row, now, unreadable)).collect();
    let view = View { now, builds, nodes: nodes.collect() };
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
        Action::Cancel(_) => {
            builds::end(connection, id, attempt, BuildStatus::Cancelled, None).await?;
            let reason = Reason::new("cancelled", "The build was cancelled.");
            let ended =
                deployments::end_of_build(connection, id, DeploymentStatus::Cancelled, &reason);
            for deployment in ended.await? {
                deployment.journal(connection, "deployment.cancelled", &reason.text).await?;
            }
        }
        Action::Supersede(_) => {
            builds::end(connection, id, attempt, BuildStatus::Superseded, None).await?;
        }
    }
    transaction.commit().await.map_err(zeitwork_database::Error::from)?;
    Ok(Done::steps(1))
}

/// Ends a build and all that wait for it, with the same reason.
pub(super) async fn fail(
    connection: &mut zeitwork_database::PgConnection,
    id: BuildId,
    attempt: i32,
    reason: &Reason,
) -> Result<(), Error> {
    builds::end(connection, id, attempt, BuildStatus::Failed, Some(reason)).await?;
    let failed =
        deployments::end_of_build(connection, id, DeploymentStatus::Failed, reason).await?;
    for deployment in failed {
        deployment.journal(connection, "deployment.failed", &reason.text).await?;
    }
    Ok(())
}
