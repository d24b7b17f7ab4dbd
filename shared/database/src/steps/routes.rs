//! Steps of the route table. Each changed row draws a generation at commit.

use sqlx::PgConnection;
use sqlx::types::Json;
use zeitwork_model::id::EnvironmentId;
use zeitwork_model::route::Route;

use crate::Result;

/// Writes the route of a host.
///
/// # Errors
/// Those of every statement.
pub async fn put(connection: &mut PgConnection, host: &str, route: &Route) -> Result<()> {
    sqlx::query!(
        "insert into routes (host, organisation_id, environment_id, route)
        values ($1, $2, $3, $4)
        on conflict (host) do update
        set organisation_id = excluded.organisation_id, environment_id = excluded.environment_id,
            route = excluded.route, written_at = now()
        where routes.route is distinct from excluded.route",
        host,
        route.organisation.0,
        route.environment.0,
        Json(route) as _
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes the route of a host that is no domain any more.
///
/// # Errors
/// Those of every statement.
pub async fn remove(connection: &mut PgConnection, host: &str) -> Result<()> {
    sqlx::query!("delete from routes where host = $1", host).execute(connection).await?;
    Ok(())
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
