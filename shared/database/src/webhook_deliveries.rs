//! Stored webhook deliveries, as they are taken and shown. (Claiming and ending them is the
//! operator's: `webhook_queue`.)

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::id::{DeliveryId, OrganisationId, ProjectId};
use zeitwork_model::webhook::DeliveryStatus;

use crate::Result;

/// A delivery to be stored.
#[derive(Debug, Clone)]
pub struct NewDelivery<'a> {
    /// Our id.
    pub id: DeliveryId,
    /// The sender's id: a redelivery has the same one.
    pub delivery_id: &'a str,
    /// `push`, `installation`, …
    pub event: &'a str,
    /// From the payload.
    pub installation_id: Option<i64>,
    /// From the payload.
    pub repository_id: Option<i64>,
    /// From the payload: `owner/name`, for display.
    pub repository: Option<&'a str>,
    /// The JSON text, as it was signed or as it was in the form.
    pub payload: &'a [u8],
    /// Of the request that brought it.
    pub request_id: &'a str,
}

/// A delivery as it is shown.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Our id.
    pub id: DeliveryId,
    /// The sender's id.
    pub delivery_id: String,
    /// `push`, `installation`, …
    pub event: String,
    /// `owner/name`.
    pub repository: Option<String>,
    /// How far it is.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: i32,
    /// Why it is where it is.
    pub reason_code: Option<String>,
    /// The same for people.
    pub reason_text: Option<String>,
    /// When it came.
    pub received_at: OffsetDateTime,
    /// When it was done.
    pub finished_at: Option<OffsetDateTime>,
}

/// Stores a delivery and wakes the operator; whether it was new.
///
/// # Errors
/// Those of every statement.
pub async fn insert(connection: &mut PgConnection, new: &NewDelivery<'_>) -> Result<bool> {
    let done = sqlx::query!(
        "insert into webhook_deliveries (id, source, delivery_id, event, installation_id,
            repository_id, repository, payload, request_id)
        values ($1, 'github', $2, $3, $4, $5, $6, $7, $8)
        on conflict (source, delivery_id) do nothing",
        new.id as DeliveryId,
        new.delivery_id,
        new.event,
        new.installation_id,
        new.repository_id,
        new.repository,
        new.payload,
        new.request_id
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// All deliveries, newest first.
///
/// # Errors
/// Those of every statement.
pub async fn list(
    connection: &mut PgConnection,
    before: Option<DeliveryId>,
    limit: i64,
) -> Result<Vec<Delivery>> {
    let rows = sqlx::query_as!(
        Delivery,
        r#"select id as "id: DeliveryId", delivery_id, event, repository,
            status as "status: DeliveryStatus", attempts, reason_code, reason_text, received_at,
            finished_at
        from webhook_deliveries
        where $1::uuid is null or id < $1
        order by id desc
        limit $2"#,
        before as Option<DeliveryId>,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Deliveries about the project's repository, newest first. They are matched on the numeric ids
/// of installation and repository: until those are resolved, there are none.
///
/// # Errors
/// Those of every statement.
pub async fn list_of_project(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    project: ProjectId,
    before: Option<DeliveryId>,
    limit: i64,
) -> Result<Vec<Delivery>> {
    let rows = sqlx::query_as!(
        Delivery,
        r#"select w.id as "id: DeliveryId", w.delivery_id, w.event, w.repository,
            w.status as "status: DeliveryStatus", w.attempts, w.reason_code, w.reason_text,
            w.received_at, w.finished_at
        from webhook_deliveries w
        join projects p on p.installation_id = w.installation_id
            and p.repository_id = w.repository_id
        where p.organisation_id = $1 and p.id = $2 and ($3::uuid is null or w.id < $3)
        order by w.id desc
        limit $4"#,
        organisation as OrganisationId,
        project as ProjectId,
        before as Option<DeliveryId>,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Makes a delivery pending again, if it is about the project's repository (`scope`) or for the
/// platform (none). None where there is no such delivery.
///
/// # Errors
/// Those of every statement.
pub async fn replay(
    connection: &mut PgConnection,
    scope: Option<(OrganisationId, ProjectId)>,
    id: DeliveryId,
) -> Result<Option<Delivery>> {
    let (organisation, project) = scope.unzip();
    let row = sqlx::query_as!(
        Delivery,
        r#"update webhook_deliveries w
        set status = 'pending', attempts = 0, next_attempt_at = now(), reason_code = null,
            reason_text = null, finished_at = null
        where w.id = $1
            and ($2::uuid is null or exists (
                select 1 from projects p
                where p.organisation_id = $2 and p.id = $3
                    and p.installation_id = w.installation_id
                    and p.repository_id = w.repository_id
            ))
        returning id as "id: DeliveryId", delivery_id, event, repository,
            status as "status: DeliveryStatus", attempts, reason_code, reason_text, received_at,
            finished_at"#,
        id as DeliveryId,
        organisation as Option<OrganisationId>,
        project as Option<ProjectId>
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}
