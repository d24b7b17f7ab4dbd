//! `zeitwork migrate`.

use anyhow::{Context, Result};
use serde_json::json;
use zeitwork_database::{Database, PoolSettings, migrate};
use zeitwork_runtime::config::Sources;

use crate::output::Output;

/// Brings the schema of `ZEITWORK_DATABASE_URL` up to date.
pub async fn run(output: &Output) -> Result<()> {
    let settings = Sources::of_environment().load();
    let url = settings.secret("ZEITWORK_DATABASE_URL");
    settings.finish_leniently()?;
    let url = url.ok().flatten().context(
        "ZEITWORK_DATABASE_URL is not set; the private database of `zeitwork up` is migrated at its start",
    )?;
    let database = Database::new(&url, "zeitwork-migrate", &PoolSettings::patient())?;
    let applied = migrate::run(&database).await?;
    if output.is_json() {
        return output.json(&json!({"applied": applied}));
    }
    output.line(&match applied {
        0 => "the schema is up to date".to_owned(),
        1 => "applied 1 migration".to_owned(),
        several => format!("applied {several} migrations"),
    });
    Ok(())
}
