//! The journal of an environment, numbered without gaps in the order of commit.

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::id::{DeploymentId, EnvironmentId, InstanceId, OrganisationId};

use crate::Result;

/// An event to be written.
#[derive(Debug, Clone)]
pub struct NewEvent<'a> {
    /// Whose.
    pub organisation_id: OrganisationId,
    /// Of which environment.
    pub environment_id: EnvironmentId,
    /// `deployment.live`, …
    pub kind: &'a str,
    /// A sentence for people.
    pub text: &'a str,
    /// About which deployment.
    pub deployment_id: Option<DeploymentId>,
    /// About which instance.
    pub instance_id: Option<InstanceId>,
    /// Id of a key, `github` or `operator`.
    pub actor: &'a str,
    /// Of the request that led to it.
    pub request_id: Option<&'a str>,
}

/// An event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Grows by one within the environment.
    pub sequence: i64,
    /// `deployment.live`, …
    pub kind: String,
    /// A sentence for people.
    pub text: String,
    /// About which deployment.
    pub deployment_id: Option<DeploymentId>,
    /// About which instance.
    pub instance_id: Option<InstanceId>,
    /// Who.
    pub actor: String,
    /// When.
    pub at: OffsetDateTime,
}

/// Writes an event. Its number is drawn under the lock of the environment's row, which the
/// transaction then keeps: write events last.
///
/// # Errors
/// Those of every statement.
pub async fn append(connection: &mut PgConnection, new: &NewEvent<'_>) -> Result<()> {
    sqlx::query!(
        "insert into events (organisation_id, environment_id, kind, text, deployment_id,
            instance_id, actor, request_id)
        values ($1, $2, $3, $4, $5, $6, $7, $8)",
        new.organisation_id as OrganisationId,
        new.environment_id as EnvironmentId,
        new.kind,
        new.text,
        new.deployment_id as Option<DeploymentId>,
        new.instance_id as Option<InstanceId>,
        new.actor,
        new.request_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Events after a sequence, oldest first.
///
/// # Errors
/// Those of every statement.
pub async fn after(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    environment: EnvironmentId,
    sequence: i64,
    limit: i64,
) -> Result<Vec<Event>> {
    let rows = sqlx::query_as!(
        Event,
        r#"select sequence, kind, text, deployment_id as "deployment_id: DeploymentId",
            instance_id as "instance_id: InstanceId", actor, at
        from events
        where organisation_id = $1 and environment_id = $2 and sequence > $3
        order by sequence
        limit $4"#,
        organisation as OrganisationId,
        environment as EnvironmentId,
        sequence,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}
