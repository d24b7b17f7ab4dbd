//! What the queue of builds depends on.

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::id::{
    BuildId, DeploymentId, EnvironmentId, ImageId, NodeId, OrganisationId, ProjectId, VariableSetId,
};

use crate::Result;

/// A deployment that knows its commit and has no build yet.
#[derive(Debug, Clone)]
pub struct Unbuilt {
    /// Which.
    pub id: DeploymentId,
    /// Whose.
    pub organisation_id: OrganisationId,
    /// Of which project.
    pub project_id: ProjectId,
    /// Where.
    pub environment_id: EnvironmentId,
    /// What is to be built.
    pub commit_sha: String,
    /// In which directory.
    pub root_directory: String,
    /// By which Dockerfile.
    pub dockerfile: String,
    /// With which variables.
    pub variable_set_id: VariableSetId,
    /// Hash over all of these: what is visible while it is built.
    pub plan_key: String,
    /// An image that was made of the same, and is on a ready node.
    pub ready_image: Option<ImageId>,
    /// A build of the same that is not over.
    pub open_build: Option<BuildId>,
}

/// A build that is not over.
#[derive(Debug, Clone)]
pub struct Open {
    /// Which.
    pub id: BuildId,
    /// Whose.
    pub organisation_id: OrganisationId,
    /// Of which project.
    pub project_id: ProjectId,
    /// Higher goes first.
    pub priority: i32,
    /// Attempts begun.
    pub attempt: i32,
    /// Attempts at most.
    pub maximum_attempts: i32,
    /// Who has it.
    pub node_id: Option<NodeId>,
    /// Until when.
    pub lease_until: Option<OffsetDateTime>,
    /// Not before.
    pub not_before: OffsetDateTime,
    /// When it was queued.
    pub created_at: OffsetDateTime,
    /// Of its state.
    pub deadline_at: Option<OffsetDateTime>,
    /// Somebody asked for its end.
    pub cancel_requested: bool,
    /// A deployment waits for it.
    pub is_wanted: bool,
    /// Why it waits, as far as that was written: code.
    pub reason_code: Option<String>,
    /// The same for people.
    pub reason_text: Option<String>,
    /// GitHub's number of the App's installation through which its source is read.
    pub installation_id: Option<i64>,
    /// GitHub's number of its repository.
    pub repository_id: Option<i64>,
}

/// A node that builds.
#[derive(Debug, Clone)]
pub struct Builder {
    /// Which.
    pub id: NodeId,
    /// Its cores, by its newest report.
    pub cores: i32,
    /// Why it cannot build now: its name and its own words.
    pub hindrance: Option<String>,
}

/// Queued deployments whose commit is known and whose build is not.
///
/// # Errors
/// Those of every statement.
pub async fn unbuilt(connection: &mut PgConnection) -> Result<Vec<Unbuilt>> {
    let rows = sqlx::query_as!(
        Unbuilt,
        r#"with unbuilt as (
            select d.id, d.organisation_id, d.project_id, d.environment_id, d.commit_sha,
                coalesce(o.root_directory, p.root_directory) as root_directory,
                coalesce(o.dockerfile, p.dockerfile) as dockerfile, d.variable_set_id,
                encode(sha256(convert_to(jsonb_build_array(
                    d.project_id, d.commit_sha, coalesce(o.root_directory, p.root_directory),
                    coalesce(o.dockerfile, p.dockerfile),
                    (select coalesce(jsonb_agg(entry order by entry->>'name'), '[]')
                     from jsonb_array_elements(v.entries) entry
                     where entry->>'at' in ('build', 'both'))
                )::text, 'UTF8')), 'hex') as plan_key
            from deployments d
            join projects p on p.id = d.project_id
            join variable_sets v on v.id = d.variable_set_id
            -- What is built again is built as it was.
            left join lateral (
                select b.root_directory, b.dockerfile
                from deployments r
                join builds b on b.project_id = r.project_id and b.image_id = r.image_id
                    and b.commit_sha = r.commit_sha
                where r.id = d.rebuild_of
                order by b.id desc limit 1
            ) o on true
            where d.status = 'queued' and d.build_id is null and d.commit_sha is not null
                and p.source_kind <> 'image'
        )
        select u.id as "id: DeploymentId", u.organisation_id as "organisation_id: OrganisationId",
            u.project_id as "project_id: ProjectId",
            u.environment_id as "environment_id: EnvironmentId",
            u.commit_sha as "commit_sha!", u.root_directory as "root_directory!",
            u.dockerfile as "dockerfile!",
            u.variable_set_id as "variable_set_id: VariableSetId", u.plan_key as "plan_key!",
            (select i.id from builds b
             join images i on i.id = b.image_id and i.deleted_at is null
             join image_locations l on l.image_id = i.id and l.gone_at is null
             join nodes n on n.id = l.node_id and n.status = 'ready'
             where b.project_id = u.project_id and b.plan_key = u.plan_key
                and b.status = 'succeeded'
             order by b.id desc limit 1) as "ready_image: ImageId",
            (select b.id from builds b
             where b.project_id = u.project_id and b.plan_key = u.plan_key
                and b.status in ('queued', 'running')
                and b.cancel_requested_at is null) as "open_build: BuildId"
        from unbuilt u
        order by u.id
        limit 1000"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Builds that are not over.
///
/// # Errors
/// Those of every statement.
pub async fn open(connection: &mut PgConnection) -> Result<Vec<Open>> {
    let rows = sqlx::query_as!(
        Open,
        r#"select b.id as "id: BuildId", b.organisation_id as "organisation_id: OrganisationId",
            b.project_id as "project_id: ProjectId", b.priority, b.attempt, b.maximum_attempts,
            b.node_id as "node_id: NodeId", b.lease_until, b.not_before, b.created_at,
            b.deadline_at, b.cancel_requested_at is not null as "cancel_requested!",
            exists (select from deployments d
                    where d.build_id = b.id and d.status in ('queued', 'building'))
                as "is_wanted!",
            b.reason_code, b.reason_text, p.installation_id, p.repository_id
        from builds b
        join projects p on p.id = b.project_id
        where b.status in ('queued', 'running')
        order by b.id
        limit 10000"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Ready nodes with the builder role that have reported lately: one that fell silent has just let
/// a lease run out, or would, long before it counts as lost.
///
/// # Errors
/// Those of every statement.
pub async fn builders(connection: &mut PgConnection) -> Result<Vec<Builder>> {
    let rows = sqlx::query_as!(
        Builder,
        r#"select n.id as "id: NodeId", coalesce((n.host->>'cores')::int, 1) as "cores!",
            (select n.name || ': ' || (problem->>'text')
             from jsonb_array_elements(n.problems) problem
             where problem->>'code' in ('engine_away', 'disk_low', 'limits_missing') limit 1) as hindrance
        from nodes n
        join node_reports r on r.node_id = n.id
        where n.builder and n.status = 'ready' and r.reported_at > now() - interval '10 seconds'
        order by n.id
        limit 1000"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}
