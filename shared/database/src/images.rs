//! `images`: what builds made.

use sqlx::PgConnection;
use zeitwork_model::id::ImageId;

use crate::Result;

/// Takes an image up for a deployment; false where retention has given it up. Whatever happens at
/// the same time, the image stays from here on: the caller's transaction holds its row, and behind
/// that the deployment keeps it.
///
/// # Errors
/// Those of every statement.
pub async fn hold(connection: &mut PgConnection, image: ImageId) -> Result<bool> {
    let done = sqlx::query!(
        "update images set held_at = now() where id = $1 and deleted_at is null",
        image as ImageId
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}
