//! `images`: what builds made.

use sqlx::PgConnection;
use zeitwork_model::id::{DeploymentId, ImageId};

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

/// Whether a deployment had an image that no node has any more: it can only run again once it is
/// built again. What a lost node has, nobody has.
///
/// # Errors
/// Those of every statement.
pub async fn is_lost(connection: &mut PgConnection, deployment: DeploymentId) -> Result<bool> {
    let row = sqlx::query!(
        r#"select exists (
            select from deployments d
            where d.id = $1 and d.image_id is not null
                and not exists (
                    select from image_locations l
                    join nodes n on n.id = l.node_id and n.status <> 'lost'
                    where l.image_id = d.image_id and l.gone_at is null)) as "is_lost!""#,
        deployment as DeploymentId
    )
    .fetch_one(connection)
    .await?;
    Ok(row.is_lost)
}
