//! Where instances could run.

use sqlx::PgConnection;
use sqlx::types::ipnetwork::IpNetwork;
use zeitwork_model::id::{DeploymentId, ImageId, NodeId};

use crate::Result;

/// A ready node that has an image.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Which.
    pub node_id: NodeId,
    /// Its instances' network.
    pub subnet: IpNetwork,
    /// Bytes of memory that could be had when it reported last.
    pub available_bytes: i64,
    /// Its instances that are not healthy yet.
    pub arriving: i64,
    /// Its instances of the same process of the same deployment.
    pub siblings: i64,
    /// Addresses that are reserved on it.
    pub taken: Vec<IpNetwork>,
    /// The address that was reserved last.
    pub last: Option<IpNetwork>,
}

/// The ready nodes that have the image.
///
/// # Errors
/// Those of every statement.
pub async fn candidates(
    connection: &mut PgConnection,
    image: ImageId,
    deployment: DeploymentId,
    process: &str,
) -> Result<Vec<Candidate>> {
    let rows = sqlx::query_as!(
        Candidate,
        r#"select n.id as "node_id: NodeId", n.subnet::inet as "subnet!",
            coalesce((n.host->>'memory_available_bytes')::bigint, 0) as "available_bytes!",
            (select count(*) from instances i
             where i.node_id = n.id and i.status in ('pending', 'starting')) as "arriving!",
            (select count(*) from instances i
             where i.node_id = n.id and i.deployment_id = $2 and i.process = $3
                and i.status not in ('draining', 'stopped', 'failed')) as "siblings!",
            array(select e.address from endpoints e where e.node_id = n.id) as "taken!",
            (select e.address from endpoints e
             where e.node_id = n.id
             order by e.reserved_at desc limit 1) as last
        from nodes n
        join image_locations l on l.node_id = n.id and l.image_id = $1 and l.gone_at is null
        where n.status = 'ready' and n.subnet is not null
        order by n.id
        limit 1000"#,
        image as ImageId,
        deployment as DeploymentId,
        process
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}
