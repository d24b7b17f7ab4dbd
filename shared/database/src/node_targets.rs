//! `node_targets`: what the operator wants of each node, whole, fenced by its position.

use sqlx::PgConnection;
use zeitwork_model::generation::Position;
use zeitwork_protocol::target::NodeTarget;

use crate::{Error, Result};

/// The target of the node whose login this is, where it is not outdated by `seen` and not the
/// same; `None` also where the operator has not written one yet.
///
/// # Errors
/// [`Error::Unreadable`] where this program cannot read it, and those of every statement.
pub async fn newer(
    connection: &mut PgConnection,
    seen: Option<Position>,
) -> Result<Option<NodeTarget>> {
    let row = sqlx::query!(
        r#"
        select target
        from node_targets
        where node_id = zw.my_node()
          and ($1::bigint is null or epoch <> $1 or generation > $2)
        "#,
        seen.map(|position| position.epoch),
        seen.map_or(0, |position| position.generation),
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| serde_json::from_value(row.target))
        .transpose()
        .map_err(|source| Error::Unreadable { what: "node target", source })
}
