//! Steps of the route table. Each changed row draws a generation at commit.

use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;
use zeitwork_model::id::EnvironmentId;
use zeitwork_model::route::Route;

use super::changed;
use crate::Result;

/// Writes the route of a host over the one that was seen (by when it was written; none: the host
/// had no route).
///
/// # Errors
/// [`crate::Error::Stale`] where another stands there by now.
pub async fn put(
    connection: &mut PgConnection,
    host: &str,
    route: &Route,
    seen: Option<OffsetDateTime>,
) -> Result<()> {
    let (organisation, environment) = (route.organisation.0, route.environment.0);
    let done = match seen {
        Some(seen) => {
            sqlx::query!(
                "update routes
                set organisation_id = $2, environment_id = $3, route = $4,
                    written_at = clock_timestamp()
                where host = $1 and written_at = $5",
                host,
                organisation,
                environment,
                Json(route) as _,
                seen
            )
            .execute(connection)
            .await?
        }
        None => {
            sqlx::query!(
                "insert into routes (host, organisation_id, environment_id, route)
                values ($1, $2, $3, $4)
                on conflict (host) do nothing",
                host,
                organisation,
                environment,
                Json(route) as _
            )
            .execute(connection)
            .await?
        }
    };
    changed("route", done.rows_affected())
}

/// Removes the route, as it was seen, of a host that is no domain any more.
///
/// # Errors
/// [`crate::Error::Stale`] where another stands there by now, or none.
pub async fn remove(
    connection: &mut PgConnection,
    host: &str,
    seen: Option<OffsetDateTime>,
) -> Result<()> {
    let done = sqlx::query!("delete from routes where host = $1 and written_at = $2", host, seen)
        .execute(connection)
        .await?;
    changed("route", done.rows_affected())
}

/// Removes the domains of a deleted environment; their routes follow.
///
/// # Errors
/// Those of every statement.
pub async fn remove_domains(
    connection: &mut PgConnection,
    environment: EnvironmentId,
) -> Result<()> {
    sqlx::query!("delete from domains where environment_id = $1", environment as EnvironmentId)
        .execute(connection)
        .await?;
    Ok(())
}
