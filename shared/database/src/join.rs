//! Nodes that join.

use sqlx::PgConnection;
use zeitwork_model::id::NodeId;

use crate::{Error, Result};

/// Registers the node of this name with its public key, or gives it the key that it has now, and
/// returns the name of its database login.
///
/// # Errors
/// Those of every statement.
pub async fn ensure(
    connection: &mut PgConnection,
    name: &str,
    public_key: &[u8; 32],
) -> Result<String> {
    let id = NodeId::new();
    let login = format!("zeitwork_node_{}", id.0.simple());
    let row = sqlx::query!(
        "insert into nodes (id, name, public_key, database_role) values ($1, $2, $3, $4)
         on conflict (name) do update set public_key = excluded.public_key
         returning database_role",
        id.0,
        name,
        public_key.as_slice(),
        login,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| row.database_role).ok_or(Error::NotFound("node"))
}

/// The name by which the node with this key has joined; of several, that of the one that reported
/// last.
///
/// # Errors
/// Those of every statement.
pub async fn name_of(
    connection: &mut PgConnection,
    public_key: &[u8; 32],
) -> Result<Option<String>> {
    let row = sqlx::query!(
        "select name from nodes
        where public_key = $1
        order by reported_at desc nulls last
        limit 1",
        public_key.as_slice()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| row.name))
}
