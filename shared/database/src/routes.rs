//! Routes and their feed, as an edge reads them.
//!
//! A generation is drawn at commit behind a lock, so whoever has seen generation g has seen every
//! committed change up to g. The route in an answer may be newer than the generation that it
//! stands with; its own generation then follows.

use std::collections::BTreeMap;

use sqlx::{Connection, PgConnection};
use zeitwork_model::generation::Position;
use zeitwork_model::route::Route;
use zeitwork_protocol::VERSION;
use zeitwork_protocol::edge::{Feed, RouteChange, RouteTable};

use crate::Result;

/// Changes in one answer; the caller asks again until there are none.
const CHANGES: i64 = 1_000;
/// Routes in one page of a snapshot: a reader does nothing else while it takes one in.
const PAGE: i64 = 1_000;

/// The changes after a position, oldest first, and the position that they lead to.
///
/// # Errors
/// Those of every statement.
pub async fn changes_after(
    connection: &mut PgConnection,
    after: Position,
) -> Result<(Feed, Position)> {
    // One look-up of a route for each change: a plain join may be planned so that it reads them all.
    let rows = sqlx::query!(
        r#"select i.epoch as "epoch!", b.oldest, b.newest,
            f.generation as "generation?", f.host as "host?", r.route as "route?"
        from installation i
        cross join (select min(generation) as oldest, max(generation) as newest from route_feed) b
        left join lateral (
            select generation, host from route_feed
            where generation > $1 order by generation limit $2
        ) f on true
        left join lateral (select route from routes where routes.host = f.host limit 1) r on true
        order by f.generation"#,
        after.generation,
        CHANGES
    )
    .fetch_all(connection)
    .await?;
    let Some(first) = rows.first() else { return Ok((Feed::TakeSnapshot, after)) };
    let gap = first.oldest.is_some_and(|oldest| after.generation < oldest - 1);
    // The database is behind the reader: it was set back.
    let behind = first.newest.unwrap_or(0) < after.generation;
    if first.epoch != after.epoch || gap || behind {
        return Ok((Feed::TakeSnapshot, after));
    }
    let more = i64::try_from(rows.len()) == Ok(CHANGES);
    let mut reached = after;
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        let (Some(generation), Some(host)) = (row.generation, row.host) else { continue };
        reached.generation = generation;
        match row.route.map(|route| read(&host, route)) {
            None => changes.push(RouteChange { generation, host, route: None }),
            Some(Some(route)) => changes.push(RouteChange { generation, host, route: Some(route) }),
            // The old route is better than none.
            Some(None) => {}
        }
    }
    Ok((Feed::Changes { changes, more }, reached))
}

/// The whole table at one position.
///
/// # Errors
/// Those of every statement.
pub async fn snapshot(connection: &mut PgConnection) -> Result<RouteTable> {
    let mut snapshot = Snapshot::open(connection).await?;
    let mut routes = BTreeMap::new();
    while let Some(page) = snapshot.page().await? {
        routes.extend(page);
    }
    let position = snapshot.position;
    Ok(RouteTable { version: VERSION, minimum_reader: 1, position, routes })
}

/// The whole table at one position, page by page.
#[derive(Debug)]
pub struct Snapshot<'c> {
    /// The position.
    pub position: Position,
    transaction: sqlx::Transaction<'c, sqlx::Postgres>,
    after: String,
}

impl<'c> Snapshot<'c> {
    /// Nothing that is committed later is in it.
    ///
    /// # Errors
    /// Those of every statement.
    pub async fn open(connection: &'c mut PgConnection) -> Result<Self> {
        let mut transaction = connection.begin().await?;
        sqlx::query!("set transaction isolation level repeatable read, read only")
            .execute(&mut *transaction)
            .await?;
        let at = sqlx::query!(
            r#"select i.epoch, coalesce((select max(generation) from route_feed), 0) as "generation!"
            from installation i"#
        )
        .fetch_one(&mut *transaction)
        .await?;
        let position = Position { epoch: at.epoch, generation: at.generation };
        Ok(Self { position, transaction, after: String::new() })
    }

    /// The next routes by host; none after the last.
    ///
    /// # Errors
    /// Those of every statement.
    pub async fn page(&mut self) -> Result<Option<Vec<(String, Route)>>> {
        let page = sqlx::query!(
            "select host, route from routes where host > $1 order by host limit $2",
            self.after,
            PAGE
        )
        .fetch_all(&mut *self.transaction)
        .await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after.clone_from(&last.host);
        let routes = page.into_iter().filter_map(|row| {
            let route = read(&row.host, row.route)?;
            Some((row.host, route))
        });
        Ok(Some(routes.collect()))
    }
}

/// A route that this program cannot read is skipped: one must not stop all others.
fn read(host: &str, route: serde_json::Value) -> Option<Route> {
    match serde_json::from_value(route) {
        Ok(route) => Some(route),
        Err(error) => {
            tracing::error!(host, %error, "a stored route cannot be read and is skipped");
            None
        }
    }
}
