//! Frozen variables: the ciphertexts as they were, content-addressed ([`crate::variables::freeze`] makes them).

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;
use zeitwork_model::id::{VariableId, VariableSetId};
use zeitwork_model::variable::VariableAt;

use crate::Result;

/// One variable of a set. Its ciphertext is bound to table `variables`, the text of its id and
/// the name `value`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// The variable that it is a copy of.
    pub id: VariableId,
    /// Its name.
    pub name: String,
    /// When it is visible.
    pub at: VariableAt,
    /// Whether its value is never shown.
    pub secret: bool,
    /// Version of the project's data key.
    pub key_version: i32,
    /// The encrypted value in base 64.
    pub ciphertext: String,
}

/// As the database writes an entry: ids without prefix.
#[derive(Debug, serde::Deserialize)]
struct Stored {
    id: Uuid,
    name: String,
    at: VariableAt,
    secret: bool,
    key_version: i32,
    ciphertext: String,
}

/// The entries of a set, in the order of names.
///
/// # Errors
/// Those of every statement.
pub async fn entries(connection: &mut PgConnection, set: VariableSetId) -> Result<Vec<Entry>> {
    let row = sqlx::query!(
        r#"select entries as "entries: Json<Vec<Stored>>" from variable_sets where id = $1"#,
        set as VariableSetId
    )
    .fetch_one(connection)
    .await?;
    let entry = |stored: Stored| Entry {
        id: VariableId(stored.id),
        name: stored.name,
        at: stored.at,
        secret: stored.secret,
        key_version: stored.key_version,
        ciphertext: stored.ciphertext,
    };
    Ok(row.entries.0.into_iter().map(entry).collect())
}
