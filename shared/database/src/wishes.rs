//! Wishes: what somebody wants an environment to run. The one place where they are recorded,
//! for api and operator alike.

use sqlx::PgConnection;
use sqlx::types::Json;
use std::collections::BTreeMap;
use zeitwork_model::deployment::{DeploymentEvent, DeploymentStatus};
use zeitwork_model::environment::{ProcessConfiguration, Trigger};
use zeitwork_model::id::{
    DeliveryId, DeploymentId, EnvironmentId, ImageId, OrganisationId, ProjectId, VariableSetId,
    WishId,
};

use crate::events::{self, NewEvent};
use crate::{Error, Result, images, variables};

const SUPERSEDED: &str = "A newer deployment was wished for.";

/// What shall run.
#[derive(Debug, Clone)]
pub enum Wanted<'a> {
    /// A new deployment, with configuration and variables as they are now.
    New {
        /// What was asked for, where it was no commit; the operator resolves it.
        reference: Option<&'a str>,
        /// Exactly this commit.
        commit: Option<&'a str>,
        /// Of the commit.
        message: &'a str,
        /// Of the commit.
        author: &'a str,
    },
    /// A deployment of before, with its own configuration and variables. Where no node has its image
    /// any more, a new one of the same is built.
    Again(DeploymentId),
}

/// A wish to be recorded.
#[derive(Debug, Clone)]
pub struct NewWish<'a> {
    /// Whose.
    pub organisation_id: OrganisationId,
    /// For which environment.
    pub environment_id: EnvironmentId,
    /// What shall run.
    pub wanted: Wanted<'a>,
    /// What made it.
    pub trigger: Trigger,
    /// Who: a key's id, or `github`.
    pub actor: &'a str,
    /// The delivery that led to it.
    pub delivery_id: Option<DeliveryId>,
    /// The request that led to it.
    pub request_id: Option<&'a str>,
}

/// A recorded wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Its id.
    pub id: WishId,
    /// Its place in the order of the environment's wishes.
    pub generation: i64,
    /// What it is for.
    pub deployment_id: DeploymentId,
}

/// Records a wish with the next generation, under the lock of the environment's row, which the
/// transaction then keeps. A deployment of before starts again, unless it is live or on its way;
/// a wish for the live deployment is live at once. Older pending wishes are superseded in the
/// same transaction, with their deployments and the builds that nobody waits for any more.
///
/// # Errors
/// [`Error::NotFound`] for an environment or deployment that is not the organisation's,
/// [`Error::Stale`] for a deployment that cannot run again because it has no image.
pub async fn record(connection: &mut PgConnection, new: &NewWish<'_>) -> Result<Wish> {
    let environment = sqlx::query!(
        r#"update environments set generation = generation + 1
        where organisation_id = $1 and id = $2 and deleted_at is null
        returning generation, project_id as "project_id: ProjectId""#,
        new.organisation_id as OrganisationId,
        new.environment_id as EnvironmentId
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(Error::NotFound("environment"))?;
    let generation = environment.generation;
    lock_builds(connection, new.environment_id).await?;
    let deployment_id = match &new.wanted {
        Wanted::Again(id) if images::is_lost(connection, *id).await? => {
            build_again(connection, new, *id, generation).await?
        }
        Wanted::Again(id) => start_again(connection, new, *id, generation).await?,
        Wanted::New { .. } => {
            insert_deployment(connection, new, environment.project_id, generation).await?
        }
    };
    let wish = Wish { id: WishId::new(), generation, deployment_id };
    insert(connection, new, wish).await?;
    let superseded = supersede_older(connection, new.environment_id, wish).await?;
    serve_if_live(connection, new.environment_id, wish).await?;
    let text = format!("wished for by {} ({})", new.actor, new.trigger);
    journal(connection, new, "wish.recorded", &text, deployment_id).await?;
    for deployment in superseded {
        journal(connection, new, "deployment.superseded", SUPERSEDED, deployment).await?;
    }
    Ok(wish)
}

async fn journal(
    connection: &mut PgConnection,
    new: &NewWish<'_>,
    kind: &str,
    text: &str,
    deployment: DeploymentId,
) -> Result<()> {
    let event = NewEvent {
        organisation_id: new.organisation_id,
        environment_id: new.environment_id,
        kind,
        text,
        deployment_id: Some(deployment),
        instance_id: None,
        actor: new.actor,
        request_id: new.request_id,
    };
    events::append(connection, &event).await
}

/// Locks the builds that the environment waits for. Builds come before deployments, and these
/// before wishes, in every transaction: those that end a build go the same way, and nobody waits
/// in a circle.
async fn lock_builds(connection: &mut PgConnection, environment: EnvironmentId) -> Result<()> {
    sqlx::query!(
        "select b.id from builds b
        where b.status in ('queued', 'running')
            and b.id in (select d.build_id from deployments d
                         where d.environment_id = $1
                            and d.status in ('queued', 'building', 'starting'))
        order by b.id
        for no key update",
        environment as EnvironmentId
    )
    .fetch_all(connection)
    .await?;
    Ok(())
}

/// Ends what is older and not live, and returns it. A build of the very commit that is wished for
/// now goes on.
async fn supersede_older(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    wish: Wish,
) -> Result<Vec<DeploymentId>> {
    let superseded = sqlx::query!(
        r#"update deployments
        set status = 'superseded', finished_at = now(), deadline_at = null,
            reason_code = 'superseded', reason_text = $3
        where environment_id = $1 and status in ('queued', 'building', 'starting') and id <> $2
        returning id as "id: DeploymentId""#,
        environment as EnvironmentId,
        wish.deployment_id as DeploymentId,
        SUPERSEDED
    )
    .fetch_all(&mut *connection)
    .await?;
    sqlx::query!(
        "update builds b
        set status = 'superseded', finished_at = now(), lease_until = null, deadline_at = null
        where b.status in ('queued', 'running')
            and b.id in (select d.build_id from deployments d
                         where d.environment_id = $1 and d.status = 'superseded')
            and not exists (select from deployments d
                            where d.build_id = b.id and d.status in ('queued', 'building'))
            and not exists (select from deployments d
                            where d.id = $2 and d.commit_sha = b.commit_sha
                                and d.status = 'queued')",
        environment as EnvironmentId,
        wish.deployment_id as DeploymentId
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update wishes set status = 'superseded', ended_at = now()
        where environment_id = $1 and status = 'pending' and generation < $2",
        environment as EnvironmentId,
        wish.generation
    )
    .execute(connection)
    .await?;
    Ok(superseded.into_iter().map(|row| row.id).collect())
}

/// A wish for what is served already has nothing to wait for.
async fn serve_if_live(
    connection: &mut PgConnection,
    environment: EnvironmentId,
    wish: Wish,
) -> Result<()> {
    let served = sqlx::query!(
        "update wishes w set status = 'retired', ended_at = now()
        from deployments d
        where w.environment_id = $1 and w.status = 'live'
            and d.id = $2 and d.status = 'live'",
        environment as EnvironmentId,
        wish.deployment_id as DeploymentId
    )
    .execute(&mut *connection)
    .await?;
    if served.rows_affected() > 0 {
        sqlx::query!("update wishes set status = 'live' where id = $1", wish.id as WishId)
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn insert(connection: &mut PgConnection, new: &NewWish<'_>, wish: Wish) -> Result<()> {
    sqlx::query!(
        "insert into wishes (id, organisation_id, environment_id, generation, deployment_id,
            trigger, actor, delivery_id, request_id)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        wish.id as WishId,
        new.organisation_id as OrganisationId,
        new.environment_id as EnvironmentId,
        wish.generation,
        wish.deployment_id as DeploymentId,
        new.trigger.as_str(),
        new.actor,
        new.delivery_id as Option<DeliveryId>,
        new.request_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_deployment(
    connection: &mut PgConnection,
    new: &NewWish<'_>,
    project: ProjectId,
    generation: i64,
) -> Result<DeploymentId> {
    let Wanted::New { reference, commit, message, author } = &new.wanted else {
        return Err(Error::NotFound("deployment"));
    };
    let (organisation, environment) = (new.organisation_id, new.environment_id);
    let variables = variables::freeze(connection, organisation, project, environment).await?;
    let processes =
        crate::environments::processes(connection, organisation, &[environment]).await?;
    let configuration: BTreeMap<String, ProcessConfiguration> =
        processes.into_iter().map(|process| (process.name, process.configuration.0)).collect();
    let id = DeploymentId::new();
    sqlx::query!(
        "insert into deployments (id, organisation_id, project_id, environment_id, generation,
            reference, commit_sha, message, author, trigger, configuration, variable_set_id,
            deadline_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now() + interval '30 minutes')",
        id as DeploymentId,
        organisation as OrganisationId,
        project as ProjectId,
        environment as EnvironmentId,
        generation,
        *reference,
        *commit,
        *message,
        *author,
        new.trigger.as_str(),
        Json(configuration) as _,
        variables as VariableSetId
    )
    .execute(connection)
    .await?;
    Ok(id)
}

/// A new deployment of the same commit, configuration and variables.
async fn build_again(
    connection: &mut PgConnection,
    new: &NewWish<'_>,
    of: DeploymentId,
    generation: i64,
) -> Result<DeploymentId> {
    let id = DeploymentId::new();
    let done = sqlx::query!(
        "insert into deployments (id, organisation_id, project_id, environment_id, generation,
            commit_sha, message, author, trigger, configuration, variable_set_id, deadline_at,
            rebuild_of, reason_code, reason_text)
        select $4, organisation_id, project_id, environment_id, $5, commit_sha, message, author, $6,
            configuration, variable_set_id, now() + interval '30 minutes',
            coalesce(rebuild_of, id), $7, 'No node has its image any more: it is built again.'
        from deployments
        where organisation_id = $1 and environment_id = $2 and id = $3",
        new.organisation_id as OrganisationId,
        new.environment_id as EnvironmentId,
        of as DeploymentId,
        id as DeploymentId,
        generation,
        new.trigger.as_str(),
        zeitwork_model::reason::IMAGE_LOST
    )
    .execute(connection)
    .await?;
    if done.rows_affected() > 0 { Ok(id) } else { Err(Error::NotFound("deployment")) }
}

async fn start_again(
    connection: &mut PgConnection,
    new: &NewWish<'_>,
    id: DeploymentId,
    generation: i64,
) -> Result<DeploymentId> {
    let row = sqlx::query!(
        r#"select d.status as "status: DeploymentStatus",
            d.image_id as "image_id: ImageId"
        from deployments d
        where d.organisation_id = $1 and d.environment_id = $2 and d.id = $3
        for update"#,
        new.organisation_id as OrganisationId,
        new.environment_id as EnvironmentId,
        id as DeploymentId
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(Error::NotFound("deployment"))?;
    let next = match row.status.after(DeploymentEvent::WishedAgain) {
        Some(next) => {
            let image = row.image_id.ok_or(Error::Stale("deployment"))?;
            if !images::hold(connection, image).await? {
                return Err(Error::Stale("deployment"));
            }
            next
        }
        None if row.status.is_final() => return Err(Error::Stale("deployment")),
        None => row.status,
    };
    sqlx::query!(
        "update deployments
        set generation = $3, status = $4,
            starting_at = case when status = $4 then starting_at else now() end,
            finished_at = case when status = $4 then finished_at end,
            deadline_at = case when status = $4 then deadline_at end,
            reason_code = case when status = $4 then reason_code end,
            reason_text = case when status = $4 then reason_text end,
            status_told = null
        where organisation_id = $1 and id = $2",
        new.organisation_id as OrganisationId,
        id as DeploymentId,
        generation,
        next.as_str()
    )
    .execute(connection)
    .await?;
    Ok(id)
}
