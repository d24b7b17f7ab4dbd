//! The installation and the database's clock.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::Result;

/// What makes this installation different from every other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Eight hexadecimal characters: stands in every name and label of ours.
    pub id: String,
    /// Grows with each restore.
    pub epoch: i64,
}

/// Reads the installation.
///
/// # Errors
/// Those of every statement.
pub async fn read(connection: &mut PgConnection) -> Result<Installation> {
    let row = sqlx::query!("select id, epoch from installation").fetch_one(connection).await?;
    Ok(Installation { id: row.id, epoch: row.epoch })
}

/// The database's time: the only one that deadlines and leases know.
///
/// # Errors
/// Those of every statement.
pub async fn now(connection: &mut PgConnection) -> Result<OffsetDateTime> {
    let row = sqlx::query!(r#"select clock_timestamp() as "now!""#).fetch_one(connection).await?;
    Ok(row.now)
}

/// Gives the installation its id, as long as nothing carries the old one.
///
/// # Errors
/// [`crate::Error::Schema`] where the database already belongs to another installation.
pub async fn adopt(connection: &mut PgConnection, id: &str) -> Result<()> {
    let changed = sqlx::query!(
        "update installation set id = $1
         where id = $1 or not exists (select from organisations)",
        id
    )
    .execute(connection)
    .await?;
    if changed.rows_affected() == 0 {
        return Err(crate::Error::Schema(format!(
            "the database belongs to another installation than the state directory ({id})"
        )));
    }
    Ok(())
}
