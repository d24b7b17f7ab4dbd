//! The schema: made by `zeitwork migrate`, checked by every daemon.

use sqlx::migrate::Migrator;

use crate::{Database, Error, Result};

/// Every migration, compiled in.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// Brings the schema up to date, under a lock, and returns how many migrations were applied.
///
/// # Errors
/// [`Error::Schema`] for a database that holds somebody else's tables, or a migration that has
/// been changed since it was applied.
pub async fn run(database: &Database) -> Result<usize> {
    let mut connection = database.acquire().await?;
    let ours = table_exists(&mut connection).await?;
    if !ours {
        let foreign = sqlx::query!(
            r#"select count(*) as "tables!" from pg_tables where schemaname = 'public'"#
        )
        .fetch_one(&mut *connection)
        .await?;
        if foreign.tables > 0 {
            return Err(Error::Schema(
                "the database holds tables that are not Zeitwork's: give it a database of its own"
                    .into(),
            ));
        }
    }
    let before = applied(&mut connection).await?;
    MIGRATIONS.run(&mut *connection).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error) => Error::from(error),
        sqlx::migrate::MigrateError::VersionMissing(version) => Error::Schema(format!(
            "the schema is newer than this program (it has migration {version}): run the newer \
             release again, or restore the backup of before the upgrade"
        )),
        other => Error::Schema(format!("the schema cannot be brought up to date: {other}")),
    })?;
    Ok(applied(&mut connection).await? - before)
}

/// Checks that the schema is one that this program works with.
///
/// # Errors
/// [`Error::Schema`] says which command to run.
pub async fn check(database: &Database) -> Result<()> {
    let mut connection = database.acquire().await?;
    let needed = MIGRATIONS.iter().count();
    let found = applied(&mut connection).await?;
    if found < needed {
        return Err(Error::Schema(format!(
            "the schema is older than this program ({found} of {needed} migrations): run `zeitwork migrate`"
        )));
    }
    Ok(())
}

/// How many migrations the database has; none: it is not ours yet.
///
/// # Errors
/// Those of every statement.
pub async fn count(database: &Database) -> Result<usize> {
    applied(&mut *database.acquire().await?).await
}

async fn table_exists(connection: &mut sqlx::PgConnection) -> Result<bool> {
    let row =
        sqlx::query!(r#"select to_regclass('public._sqlx_migrations') is not null as "yes!""#)
            .fetch_one(connection)
            .await?;
    Ok(row.yes)
}

async fn applied(connection: &mut sqlx::PgConnection) -> Result<usize> {
    if !table_exists(connection).await? {
        return Ok(0);
    }
    // The table is the migrator's own and not there when statements are checked.
    let count: i64 = sqlx::query_scalar("select count(*) from _sqlx_migrations where success")
        .fetch_one(connection)
        .await?;
    Ok(usize::try_from(count).unwrap_or(0))
}
