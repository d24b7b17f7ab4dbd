//! Deployments whose state GitHub does not know yet.

use sqlx::PgConnection;
use zeitwork_model::deployment::DeploymentStatus;
use zeitwork_model::id::{DeploymentId, ProjectId};

use crate::Result;

/// A deployment that GitHub was told nothing, or something older, about.
#[derive(Debug, Clone)]
pub struct Untold {
    /// Which.
    pub id: DeploymentId,
    /// Of which project.
    pub project_id: ProjectId,
    /// In which environment.
    pub environment: String,
    /// `owner/name`.
    pub repository: String,
    /// Through which installation.
    pub installation_id: i64,
    /// The commit.
    pub commit_sha: String,
    /// How far it is.
    pub status: DeploymentStatus,
    /// Why.
    pub reason_text: Option<String>,
    /// What GitHub was told last.
    pub told: Option<String>,
}

/// The newest deployment of each commit in each environment that changed within the last day and
/// whose state is not what GitHub was told, but those that wait in the given state. What was live
/// is not told to be over.
///
/// # Errors
/// Those of every statement.
pub async fn untold(
    connection: &mut PgConnection,
    waiting: &[(DeploymentId, DeploymentStatus)],
    limit: i64,
) -> Result<Vec<Untold>> {
    let (ids, statuses): (Vec<uuid::Uuid>, Vec<String>) =
        waiting.iter().map(|(id, status)| (id.0, status.as_str().to_owned())).unzip();
    let rows = sqlx::query_as!(
        Untold,
        r#"select d.id as "id: DeploymentId", d.project_id as "project_id: ProjectId",
            e.name as environment, p.repository as "repository!",
            p.installation_id as "installation_id!", d.commit_sha as "commit_sha!",
            d.status as "status: DeploymentStatus", d.reason_text, d.status_told as told
        from deployments d
        join projects p on p.id = d.project_id
        join environments e on e.id = d.environment_id
        where p.source_kind = 'github' and p.repository is not null and p.deleted_at is null
            and p.installation_id is not null and p.source_reason_code is null
            and d.commit_sha is not null
            and coalesce(d.finished_at, d.live_at, d.starting_at, d.created_at)
                > now() - interval '1 day'
            and d.status_told is distinct from 'refused'
            and d.status_told is distinct from case
                when d.status in ('queued', 'building', 'starting') then 'pending'
                when d.status in ('live', 'retired') then 'success'
                when d.status = 'failed' then 'failure'
                else 'error' end
            and not exists (select 1 from deployments newer
                            where newer.environment_id = d.environment_id
                                and newer.commit_sha = d.commit_sha
                                and newer.generation > d.generation)
            and not exists (select 1 from unnest($2::uuid[], $3::text[]) w (id, status)
                            where w.id = d.id and w.status = d.status)
        order by d.id
        limit $1"#,
        limit,
        &ids,
        &statuses
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Notes what GitHub was told, unless the deployment began anew meanwhile.
///
/// # Errors
/// Those of every statement.
pub async fn told(connection: &mut PgConnection, untold: &Untold, state: &str) -> Result<()> {
    sqlx::query!(
        "update deployments set status_told = $3
        where id = $1 and status_told is not distinct from $2",
        untold.id as DeploymentId,
        untold.told,
        state
    )
    .execute(connection)
    .await?;
    Ok(())
}
