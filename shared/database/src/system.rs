//! What the platform says of itself: readiness, reconcilers, and whether what must hold holds.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::Result;

/// Who has reported lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// Edges with a living lease.
    pub edges: i64,
    /// Nodes that reported in the last 20 seconds.
    pub nodes: i64,
}

/// Who has reported lately.
///
/// # Errors
/// Those of every statement.
pub async fn readiness(connection: &mut PgConnection) -> Result<Readiness> {
    let row = sqlx::query_as!(
        Readiness,
        r#"select
            (select count(*) from edges where lease_until > now()) as "edges!",
            (select count(*) from node_reports
             where reported_at > now() - interval '20 seconds') as "nodes!""#
    )
    .fetch_one(connection)
    .await?;
    Ok(row)
}

/// What a reconciler did last.
#[derive(Debug, Clone)]
pub struct ReconcilerReport {
    /// The noun that it keeps right.
    pub name: String,
    /// When.
    pub last_pass_at: OffsetDateTime,
    /// How long.
    pub duration_ms: i64,
    /// How often in all.
    pub passes: i64,
    /// Steps in all.
    pub actions: i64,
    /// Periodic passes that found work in all.
    pub drift_found: i64,
    /// Of the last pass.
    pub error: Option<String>,
    /// Reasons and counts of its own.
    pub detail: serde_json::Value,
}

/// Reconcilers by name, those behind `after`.
///
/// # Errors
/// Those of every statement.
pub async fn reconcilers(
    connection: &mut PgConnection,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<ReconcilerReport>> {
    let rows = sqlx::query_as!(
        ReconcilerReport,
        "select name, last_pass_at, duration_ms, passes, actions, drift_found, error, detail
        from reconciler_reports
        where $1::text is null or name > $1
        order by name
        limit $2",
        after,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// A rule and how often it is broken now.
#[derive(Debug, Clone)]
pub struct Check {
    /// Stable name.
    pub name: String,
    /// What must hold.
    pub promise: String,
    /// Rows that break it.
    pub violations: i64,
}

/// Checks what must hold between passes whatever happens; a rule that stays broken is a mistake
/// of ours.
///
/// # Errors
/// Those of every statement.
pub async fn consistency(connection: &mut PgConnection) -> Result<Vec<Check>> {
    let mut checks = of_wishes(connection).await?;
    checks.extend(of_what_runs(connection).await?);
    Ok(checks)
}

/// Wishes and their deployments.
async fn of_wishes(connection: &mut PgConnection) -> Result<Vec<Check>> {
    let rows = sqlx::query_as!(
        Check,
        r#"select 'live_wish_is_live' as "name!",
            'a live wish is for a live deployment' as "promise!",
            (select count(*) from wishes w join deployments d on d.id = w.deployment_id
             where w.status = 'live' and d.status <> 'live') as "violations!"
        union all
        select 'pending_wish_has_open_deployment',
            'a pending wish is for a deployment that has not ended',
            (select count(*) from wishes w join deployments d on d.id = w.deployment_id
             where w.status = 'pending'
                and d.status in ('failed', 'cancelled', 'superseded', 'skipped', 'retired'))
        union all
        select 'newest_wish_wins',
            'no wish is pending behind a newer one',
            (select count(*) from wishes w
             where w.status = 'pending'
                and exists (select 1 from wishes n
                            where n.environment_id = w.environment_id
                                and n.generation > w.generation
                                and n.status in ('pending', 'live')))
        union all
        select 'one_live_deployment',
            'an environment has one live deployment at most',
            (select count(*) from (select 1 from deployments where status = 'live'
                                   group by environment_id having count(*) > 1) several)
        union all
        select 'live_deployment_has_live_wish',
            'a live deployment is of exactly one live wish',
            (select count(*) from deployments d
             where d.status = 'live'
                and (select count(*) from wishes w
                     where w.deployment_id = d.id and w.status = 'live') <> 1)
        union all
        select 'waiting_has_a_reason',
            'what has waited for 30 seconds says why',
            (select count(*) from deployments
             where status in ('queued', 'building', 'starting') and reason_code is null
                and coalesce(starting_at, building_at, created_at)
                    < now() - interval '30 seconds')
        union all
        select 'overdue_deployment',
            'no deployment is a minute past its deadline',
            (select count(*) from deployments
             where status in ('queued', 'building', 'starting')
                and deadline_at < now() - interval '1 minute')"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Builds, instances, endpoints and routes.
async fn of_what_runs(connection: &mut PgConnection) -> Result<Vec<Check>> {
    let rows = sqlx::query_as!(
        Check,
        r#"select 'endpoint_is_of_one_instance' as "name!",
            'an instance that runs has a reserved endpoint' as "promise!",
            (select count(*) from instances i
             where i.status in ('starting', 'healthy', 'unhealthy')
                and not exists (select 1 from endpoints e where e.instance_id = i.id)) as "violations!"
        union all
        select 'route_to_healthy_instance',
            'routes lead only to instances that passed a health check and have not ended',
            (select count(*) from routes r
             cross join jsonb_array_elements(coalesce(r.route->'endpoints', '[]')) e
             where not exists (
                select 1 from instances i
                join endpoints p on p.instance_id = i.id
                where i.environment_id = r.environment_id and i.healthy_at is not null
                    and host(p.address) || ':' || p.port = e->>'address'
                    and (i.finished_at is null or i.finished_at > now() - interval '5 seconds')))
        union all
        select 'endpoint_is_kept_while_it_runs',
            'the endpoint of an instance that has not ended is not released',
            (select count(*) from endpoints p join instances i on i.id = p.instance_id
             where p.released_at is not null and i.status not in ('stopped', 'failed'))
        union all
        select 'overdue_build_lease',
            'no build is a minute past its lease',
            (select count(*) from builds
             where status = 'running' and lease_until < now() - interval '1 minute')
        union all
        select 'route_of_deleted_environment',
            'no route leads to an environment deleted a minute ago',
            (select count(*) from routes r join environments e on e.id = r.environment_id
             where e.deleted_at < now() - interval '1 minute')"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}
