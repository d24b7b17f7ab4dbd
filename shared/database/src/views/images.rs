//! What is served and cannot start any more, because no node has its image.

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::id::{DeploymentId, EnvironmentId, OrganisationId};

use crate::Result;

/// A live deployment of which nothing serves, instances are wanted and no node has the image.
#[derive(Debug, Clone)]
pub struct Dark {
    /// Which.
    pub id: DeploymentId,
    /// Whose.
    pub organisation_id: OrganisationId,
    /// Where.
    pub environment_id: EnvironmentId,
    /// Why it is dark, as it is written.
    pub reason_text: Option<String>,
    /// Another deployment of the environment is on its way.
    pub replacing: bool,
    /// How often building it again has failed since it went live.
    pub failures: i64,
    /// When it failed last.
    pub failed_at: Option<OffsetDateTime>,
    /// Why it failed last.
    pub failure: Option<String>,
    /// Somebody cancelled that.
    pub cancelled: bool,
}

/// All of them, or the given one if it is one of them.
///
/// # Errors
/// Those of every statement.
pub async fn dark(connection: &mut PgConnection, only: Option<DeploymentId>) -> Result<Vec<Dark>> {
    let rows = sqlx::query_as!(
        Dark,
        r#"select d.id as "id: DeploymentId", d.organisation_id as "organisation_id: OrganisationId",
            d.environment_id as "environment_id: EnvironmentId", d.reason_text,
            exists (select from wishes w
                    where w.environment_id = d.environment_id and w.status = 'pending')
                as "replacing!",
            r.failures as "failures!", r.failed_at, r.failure, r.cancelled as "cancelled!"
        from deployments d
        join environments e on e.id = d.environment_id
        join projects p on p.id = d.project_id
        cross join lateral (
            select count(*) filter (where n.status = 'failed') as failures,
                max(n.finished_at) filter (where n.status = 'failed') as failed_at,
                (array_agg(n.reason_text order by n.finished_at desc)
                    filter (where n.status = 'failed'))[1] as failure,
                count(*) filter (where n.status = 'cancelled') > 0 as cancelled
            from deployments n
            where n.rebuild_of = coalesce(d.rebuild_of, d.id) and n.generation > d.generation
        ) r
        where d.status = 'live' and ($1::uuid is null or d.id = $1)
            and e.deleted_at is null and e.paused_at is null and p.deleted_at is null
            and not exists (select from image_locations l
                            join nodes n on n.id = l.node_id and n.status <> 'lost'
                            where l.image_id = d.image_id and l.gone_at is null)
            and not exists (select from instances i
                            join nodes n on n.id = i.node_id and n.status <> 'lost'
                            where i.deployment_id = d.id and i.status = 'healthy')
            and exists (select from jsonb_object_keys(d.configuration) process
                        left join processes s
                            on s.environment_id = d.environment_id and s.name = process
                        where coalesce(s.replicas, 1) > 0)
        order by d.id
        limit 1000"#,
        only as Option<DeploymentId>
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Live deployments of which it is written that no node has their image.
///
/// # Errors
/// Those of every statement.
pub async fn told(connection: &mut PgConnection) -> Result<Vec<DeploymentId>> {
    let rows = sqlx::query!(
        r#"select id as "id: DeploymentId" from deployments
        where status = 'live' and reason_code = $1
        order by id
        limit 1000"#,
        zeitwork_model::reason::IMAGE_LOST
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
