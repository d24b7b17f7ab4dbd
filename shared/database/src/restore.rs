//! What a restore needs besides the dump itself.

use sqlx::PgConnection;

use crate::{Error, Result};

/// Makes the roles that grants in a dump are for. They belong to the server, so no dump of a
/// database holds them; logins are made at each start anyway.
///
/// # Errors
/// [`Error::Schema`] for a database that holds something; else those of every statement.
pub async fn prepare(connection: &mut PgConnection) -> Result<()> {
    let tables = sqlx::query!(
        r#"select count(*) as "count!" from pg_tables
        where schemaname not in ('pg_catalog', 'information_schema')"#
    )
    .fetch_one(&mut *connection)
    .await?;
    if tables.count > 0 {
        return Err(Error::Schema(
            "the database is not empty: a backup is restored into an empty one".into(),
        ));
    }
    sqlx::raw_sql(
        "do $$ declare name text; begin
            foreach name in array array[
                'zeitwork_api', 'zeitwork_operator', 'zeitwork_edge', 'zeitwork_node'
            ] loop
                if not exists (select from pg_roles where rolname = name) then
                    execute format('create role %I nologin', name);
                end if;
            end loop;
        end $$",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Begins the time after a restore: generations run backwards now, and whoever has seen the later
/// ones (edges, nodes) must take everything anew. The same backup may be restored twice, so the
/// number comes from the clock and not from the backup alone.
///
/// # Errors
/// Those of every statement.
pub async fn begin_epoch(connection: &mut PgConnection) -> Result<i64> {
    let row = sqlx::query!(
        "update installation
         set epoch =
            greatest(epoch + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint)
         returning epoch"
    )
    .fetch_one(connection)
    .await?;
    Ok(row.epoch)
}

/// How many projects there are.
///
/// # Errors
/// Those of every statement.
pub async fn projects(connection: &mut PgConnection) -> Result<i64> {
    let row = sqlx::query!(r#"select count(*) as "count!" from projects where deleted_at is null"#)
        .fetch_one(connection)
        .await?;
    Ok(row.count)
}
