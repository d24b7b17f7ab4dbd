//! Nodes as they are shown, cordoned and drained.

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::id::NodeId;
use zeitwork_model::node::NodeStatus;

use crate::{Error, Result};

/// A node.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Unique in the installation.
    pub name: String,
    /// How it is.
    pub status: NodeStatus,
    /// Whether it builds.
    pub builder: bool,
    /// The host, by its newest report.
    pub host: Option<serde_json::Value>,
    /// What keeps it from working as it should.
    pub problems: serde_json::Value,
    /// When it reported last.
    pub reported_at: Option<OffsetDateTime>,
    /// When it joined.
    pub created_at: OffsetDateTime,
}

/// All nodes, newest first.
///
/// # Errors
/// Those of every statement.
pub async fn list(
    connection: &mut PgConnection,
    before: Option<NodeId>,
    limit: i64,
) -> Result<Vec<Node>> {
    select(connection, None, before, limit).await
}

/// One node.
///
/// # Errors
/// Those of every statement.
pub async fn get(connection: &mut PgConnection, id: NodeId) -> Result<Option<Node>> {
    Ok(select(connection, Some(id), None, 1).await?.pop())
}

async fn select(
    connection: &mut PgConnection,
    id: Option<NodeId>,
    before: Option<NodeId>,
    limit: i64,
) -> Result<Vec<Node>> {
    let rows = sqlx::query_as!(
        Node,
        r#"select n.id as "id: NodeId", n.name, n.status as "status: NodeStatus", n.builder,
            n.host, n.problems, coalesce(r.reported_at, n.reported_at) as reported_at,
            n.created_at
        from nodes n
        left join node_reports r on r.node_id = n.id
        where ($1::uuid is null or n.id = $1) and ($2::uuid is null or n.id < $2)
        order by n.id desc
        limit $3"#,
        id as Option<NodeId>,
        before as Option<NodeId>,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Changes the state of a node, if it is in one of the given ones. A lost node takes it when it is
/// back.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Stale`] where it is in another state.
pub async fn set_status(
    connection: &mut PgConnection,
    id: NodeId,
    from: &[NodeStatus],
    to: NodeStatus,
) -> Result<()> {
    let from: Vec<String> = from.iter().map(ToString::to_string).collect();
    let done = sqlx::query!(
        "update nodes
        set status = case when status = 'lost' then status else $3 end,
            returns_to = case when status = 'lost' then $3 else returns_to end
        where id = $1 and (status = any($2) or status = 'lost')",
        id as NodeId,
        &from,
        to.as_str()
    )
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() > 0 {
        sqlx::query!(r#"select pg_notify('zw_operator', '')::text as "woken""#)
            .fetch_one(connection)
            .await?;
        return Ok(());
    }
    let known = get(connection, id).await?;
    Err(known.map_or(Error::NotFound("node"), |_| Error::Stale("node")))
}
