//! Stored webhook deliveries, as they are taken and shown. (Claiming and ending them is the
//! operator's: `webhook_queue`.)

use bytes::Bytes;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;
use zeitwork_model::id::{DeliveryId, OrganisationId, ProjectId};
use zeitwork_model::webhook::DeliveryStatus;

use crate::Result;

/// A delivery to be stored.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Our id.
    pub id: DeliveryId,
    /// The sender's id: a redelivery has the same one.
    pub delivery_id: String,
    /// `push`, `installation`, …
    pub event: String,
    /// From the payload.
    pub installation_id: Option<i64>,
    /// From the payload.
    pub repository_id: Option<i64>,
    /// From the payload: `owner/name`, for display.
    pub repository: Option<String>,
    /// The JSON text, as it was signed or as it was in the form.
    pub payload: Bytes,
    /// Of the request that brought it.
    pub request_id: String,
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

/// Stores deliveries and wakes the operator; the ids of those that were new.
///
/// # Errors
/// Those of every statement: none is stored then.
pub async fn insert(connection: &mut PgConnection, all: &[NewDelivery]) -> Result<Vec<DeliveryId>> {
    let ids: Vec<Uuid> = all.iter().map(|new| new.id.0).collect();
    let delivery_ids: Vec<&str> = all.iter().map(|new| new.delivery_id.as_str()).collect();
    let events: Vec<&str> = all.iter().map(|new| new.event.as_str()).collect();
    let installations: Vec<Option<i64>> = all.iter().map(|new| new.installation_id).collect();
    let repository_ids: Vec<Option<i64>> = all.iter().map(|new| new.repository_id).collect();
    let repositories: Vec<Option<&str>> = all.iter().map(|new| new.repository.as_deref()).collect();
    let payloads: Vec<&[u8]> = all.iter().map(|new| new.payload.as_ref()).collect();
    let request_ids: Vec<&str> = all.iter().map(|new| new.request_id.as_str()).collect();
    let new = sqlx::query_scalar!(
        r#"insert into webhook_deliveries (id, source, delivery_id, event, installation_id,
            repository_id, repository, payload, request_id)
        select id, 'github', delivery_id, event, installation_id, repository_id, repository,
            payload, request_id
        from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[],
                $7::bytea[], $8::text[])
            as new (id, delivery_id, event, installation_id, repository_id, repository, payload,
                request_id)
        on conflict (source, delivery_id) do nothing
        returning id as "id: DeliveryId""#,
        &ids,
        &delivery_ids as &[&str],
        &events as &[&str],
        &installations as &[Option<i64>],
        &repository_ids as &[Option<i64>],
        &repositories as &[Option<&str>],
        &payloads as &[&[u8]],
        &request_ids as &[&str]
    )
    .fetch_all(connection)
    .await?;
    Ok(new)
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

/// Makes deliveries pending again that were ignored because nobody had their installation: the
/// newest 200.
///
/// # Errors
/// Those of every statement.
pub async fn take_up(connection: &mut PgConnection, installation: i64) -> Result<()> {
    sqlx::query!(
        "update webhook_deliveries
        set status = 'pending', attempts = 0, next_attempt_at = now(), reason_code = null,
            reason_text = null, finished_at = null
        where id in (
            select id from webhook_deliveries
            where installation_id = $1 and status = 'ignored'
                and reason_code = 'installation_not_claimed'
            order by id desc
            limit 200)",
        installation
    )
    .execute(connection)
    .await?;
    Ok(())
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
