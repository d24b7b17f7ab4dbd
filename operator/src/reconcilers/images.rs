//! `images`: what is served and has lost its image on every node is built again.
//!
//! One wish for the same commit, configuration and variables; builds and rollouts do the rest.

use std::collections::BTreeSet;
use std::sync::Arc;

use zeitwork_database::PgConnection;
use zeitwork_database::steps::deployments::{self, Changed};
use zeitwork_database::views::builds::builders;
use zeitwork_database::views::images::{self, Dark};
use zeitwork_database::wishes::{self, NewWish, Wanted};
use zeitwork_model::deployment::DeploymentStatus;
use zeitwork_model::environment::Trigger;
use zeitwork_model::id::DeploymentId;
use zeitwork_planning::images::{Verdict, View, judge};
use zeitwork_runtime::{PassReport, Reconciler, step};

use crate::each::{Done, Keys};
use crate::{Error, World, commit};

/// Heals what has lost its image.
#[derive(Debug)]
pub struct Images {
    world: Arc<World>,
    keys: Keys,
}

impl Images {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        let keys = Keys::new(Self::NAME, step!("images.deployment"));
        Self { world: world.clone(), keys }
    }
}

impl Reconciler for Images {
    const NAME: &'static str = "images";
    type Error = Error;

    async fn pass(&mut self) -> Result<PassReport, Error> {
        let world = &self.world;
        let (ids, has_builder) = {
            let mut connection = world.database.acquire().await?;
            let dark = images::dark(&mut connection, None).await?;
            let mut ids: BTreeSet<DeploymentId> = dark.iter().map(|it| it.id).collect();
            ids.extend(images::told(&mut connection).await?);
            let builders = builders(&mut connection).await?;
            (ids, builders.iter().any(|builder| builder.hindrance.is_none()))
        };
        let works = ids.iter().map(|id| (id.to_string(), reconcile(world, *id, has_builder)));
        let mut report = PassReport::default();
        self.keys.work(&mut report, works.collect()).await;
        Ok(report)
    }
}

/// Looks at one that is dark, or was when that was written last.
async fn reconcile(world: &World, id: DeploymentId, has_builder: bool) -> Result<Done, Error> {
    let mut transaction = world.database.begin().await?;
    let connection = &mut *transaction;
    // Under the lock that every wish takes: another operator, or a person, may have been faster.
    deployments::lock_environment(connection, id).await?;
    let dark = images::dark(connection, Some(id)).await?.pop();
    let now = zeitwork_database::installation::now(connection).await?;
    let reason = match dark.as_ref().map(|dark| (dark, judge(&view(dark, has_builder), now))) {
        Some((dark, Verdict::Build)) => {
            build_again(connection, dark).await?;
            commit(step!("images.build_again"), transaction).await?;
            tracing::warn!(deployment.id = %id, "no node has its image: it is built again");
            return Ok(Done::steps(1));
        }
        Some((_, Verdict::Wait(reason))) => Some(reason),
        None => None,
    };
    let written = dark.and_then(|dark| dark.reason_text);
    match &reason {
        Some(reason) if written.as_ref() == Some(&reason.text) => {}
        Some(reason) => {
            deployments::explain(connection, id, DeploymentStatus::Live, reason).await?;
        }
        None => deployments::image_found(connection, id).await?,
    }
    commit(step!("images.explain"), transaction).await?;
    Ok(Done { reason: reason.map(|reason| reason.text), ..Done::default() })
}

/// Wishes for the same once more.
async fn build_again(connection: &mut PgConnection, dark: &Dark) -> Result<(), Error> {
    let changed = Changed {
        id: dark.id,
        environment_id: dark.environment_id,
        organisation_id: dark.organisation_id,
    };
    let text = "No node has its image any more; the same commit is built again.";
    changed.journal(connection, "deployment.image_lost", text).await?;
    let wish = NewWish {
        organisation_id: dark.organisation_id,
        environment_id: dark.environment_id,
        wanted: Wanted::Again(dark.id),
        trigger: Trigger::Redeploy,
        actor: "operator",
        delivery_id: None,
        request_id: None,
    };
    wishes::record(connection, &wish).await?;
    Ok(())
}

fn view(dark: &Dark, has_builder: bool) -> View {
    let failure = || dark.failure.clone().unwrap_or_else(|| "no reason was given".to_owned());
    View {
        replacing: dark.replacing,
        has_builder,
        cancelled: dark.cancelled,
        failures: u32::try_from(dark.failures).unwrap_or(u32::MAX),
        failed: dark.failed_at.map(|at| (at, failure())),
    }
}
