//! Steps of nodes and their targets.

use sqlx::PgConnection;
use sqlx::types::Json;
use sqlx::types::ipnetwork::IpNetwork;
use time::OffsetDateTime;
use zeitwork_model::generation::Position;
use zeitwork_model::id::NodeId;
use zeitwork_model::node::NodeStatus;
use zeitwork_model::reason::Reason;
use zeitwork_protocol::report::HostReport;
use zeitwork_protocol::target::NodeTarget;

use super::changed;
use crate::Result;

/// Copies what a report says about its host.
///
/// # Errors
/// Those of every statement.
pub async fn take_in(
    connection: &mut PgConnection,
    node: NodeId,
    host: &HostReport,
    problems: &[Reason],
    reported_at: OffsetDateTime,
) -> Result<()> {
    let subnet: Option<IpNetwork> = host.subnet.map(IpNetwork::V4);
    sqlx::query!(
        "update nodes
        set subnet = coalesce(network($2::inet), subnet), host = $3, problems = $4,
            reported_at = $5
        where id = $1",
        node as NodeId,
        subnet,
        Json(host) as _,
        Json(problems) as _,
        reported_at
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes in which images a node had when it listed them: of those that it is known to have had,
/// what it lacks is gone, and what it has again is not. A listing says nothing of what was built
/// about the time it was asked for, or later.
///
/// # Errors
/// Those of every statement.
pub async fn see_images(
    connection: &mut PgConnection,
    node: NodeId,
    images: &[String],
    listed_at: OffsetDateTime,
) -> Result<u64> {
    let done = sqlx::query!(
        "update image_locations
        set gone_at = case when engine_image = any($2) then null else now() end
        where node_id = $1 and (gone_at is not null) = (engine_image = any($2))
            and greatest(last_used_at, gone_at) < $3::timestamptz - interval '10 seconds'",
        node as NodeId,
        images,
        listed_at
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Moves a node from one status to the next. What it was asked to be outlives its silence.
///
/// # Errors
/// [`crate::Error::Stale`] where it has another by now.
pub async fn set_status(
    connection: &mut PgConnection,
    node: NodeId,
    from: NodeStatus,
    to: NodeStatus,
) -> Result<()> {
    let done = sqlx::query!(
        "update nodes
        set status = $3, returns_to = case when $3 = 'lost' then $2 else 'ready' end
        where id = $1 and status = $2",
        node as NodeId,
        from.as_str(),
        to.as_str()
    )
    .execute(connection)
    .await?;
    changed("node", done.rows_affected())
}

/// Writes the next target of a node behind the one that was read.
///
/// # Errors
/// [`crate::Error::Stale`] where another operator was faster.
pub async fn write_target(
    connection: &mut PgConnection,
    node: NodeId,
    target: &NodeTarget,
    previous: Option<Position>,
) -> Result<()> {
    let position = target.position;
    let done = match previous {
        Some(previous) => {
            sqlx::query!(
                "update node_targets
                set epoch = $2, generation = $3, target = $4, written_at = now()
                where node_id = $1 and epoch = $5 and generation = $6",
                node as NodeId,
                position.epoch,
                position.generation,
                Json(target) as _,
                previous.epoch,
                previous.generation
            )
            .execute(connection)
            .await?
        }
        None => {
            sqlx::query!(
                "insert into node_targets (node_id, epoch, generation, target)
                values ($1, $2, $3, $4)
                on conflict (node_id) do nothing",
                node as NodeId,
                position.epoch,
                position.generation,
                Json(target) as _
            )
            .execute(connection)
            .await?
        }
    };
    changed("node target", done.rows_affected())
}
