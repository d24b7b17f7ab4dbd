//! What the installation looks like in numbers, for metrics.

use sqlx::PgConnection;

use crate::Result;

/// The numbers of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Nodes by status.
    pub nodes: Vec<(String, i64)>,
    /// Deployments under way by status, and how many seconds the oldest has been under way.
    pub under_way: Vec<(String, i64, i64)>,
    /// Deployments that ended within the last half hour: live, failed.
    pub ended: (i64, i64),
    /// Webhook deliveries that wait, and for how many seconds the oldest has.
    pub webhooks: (i64, i64),
}

/// Reads them.
///
/// # Errors
/// Those of every statement.
pub async fn read(connection: &mut PgConnection) -> Result<Figures> {
    let nodes = sqlx::query!(
        r#"select status, count(*) as "count!" from nodes group by status order by status"#
    )
    .fetch_all(&mut *connection)
    .await?;
    let under_way = sqlx::query!(
        r#"select status, count(*) as "count!",
            extract(epoch from now() - min(created_at))::bigint as "oldest!"
        from deployments
        where status in ('queued', 'building', 'starting')
        group by status
        order by status"#
    )
    .fetch_all(&mut *connection)
    .await?;
    let ended = sqlx::query!(
        r#"select count(*) filter (where live_at > now() - interval '30 minutes') as "live!",
            count(*) filter (where status = 'failed'
                and finished_at > now() - interval '30 minutes') as "failed!"
        from deployments"#
    )
    .fetch_one(&mut *connection)
    .await?;
    let webhooks = sqlx::query!(
        r#"select count(*) as "count!",
            coalesce(extract(epoch from now() - min(received_at)), 0)::bigint as "oldest!"
        from webhook_deliveries
        where status = 'pending'"#
    )
    .fetch_one(connection)
    .await?;
    Ok(Figures {
        nodes: nodes.into_iter().map(|row| (row.status, row.count)).collect(),
        under_way: under_way.into_iter().map(|row| (row.status, row.count, row.oldest)).collect(),
        ended: (ended.live, ended.failed),
        webhooks: (webhooks.count, webhooks.oldest),
    })
}
