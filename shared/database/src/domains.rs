//! Domains: what leads to an environment.

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::id::{DomainId, EnvironmentId, OrganisationId, ProjectId};

use crate::Result;

/// A domain.
#[derive(Debug, Clone)]
pub struct Domain {
    /// Its id.
    pub id: DomainId,
    /// Where it leads.
    pub environment_id: EnvironmentId,
    /// Lower case, without port.
    pub host: String,
    /// `internal` or `custom`.
    pub kind: String,
    /// Since when it is known to be the organisation's.
    pub verified_at: Option<OffsetDateTime>,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

/// An internal domain to be made.
#[derive(Debug, Clone)]
pub struct NewInternalDomain<'a> {
    /// Its id.
    pub id: DomainId,
    /// Whose it is.
    pub organisation_id: OrganisationId,
    /// Its project.
    pub project_id: ProjectId,
    /// Where it leads.
    pub environment_id: EnvironmentId,
    /// Below the base domain.
    pub label: &'a str,
    /// `<label>.<base domain>`.
    pub host: &'a str,
}

/// Makes an internal domain; whether the host was free.
///
/// # Errors
/// Those of every statement.
pub async fn insert_internal(
    connection: &mut PgConnection,
    new: &NewInternalDomain<'_>,
) -> Result<bool> {
    let done = sqlx::query!(
        "insert into domains (id, organisation_id, project_id, environment_id, host, kind, label,
            verified_at)
        values ($1, $2, $3, $4, $5, 'internal', $6, now())
        on conflict (host) do nothing",
        new.id as DomainId,
        new.organisation_id as OrganisationId,
        new.project_id as ProjectId,
        new.environment_id as EnvironmentId,
        new.host,
        new.label
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The project's domains, newest first.
///
/// # Errors
/// Those of every statement.
pub async fn list(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    project: ProjectId,
    before: Option<DomainId>,
    limit: i64,
) -> Result<Vec<Domain>> {
    let rows = sqlx::query_as!(
        Domain,
        r#"select d.id as "id: DomainId", d.environment_id as "environment_id: EnvironmentId",
            d.host, d.kind, d.verified_at, d.created_at
        from domains d
        join environments e on e.id = d.environment_id and e.deleted_at is null
        where d.organisation_id = $1 and d.project_id = $2 and ($3::uuid is null or d.id < $3)
        order by d.id desc
        limit $4"#,
        organisation as OrganisationId,
        project as ProjectId,
        before as Option<DomainId>,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}
