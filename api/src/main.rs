//! `zeitwork-api`: the daemon; with `openapi` the description of what it serves, with `check` what
//! is wrong with its settings.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use zeitwork_api::{Config, Parts};
use zeitwork_database::{Database, PoolSettings};
use zeitwork_runtime::config::is_check;
use zeitwork_runtime::telemetry::{Telemetry, TelemetrySettings};
use zeitwork_runtime::{ConfigError, Lifecycle, Settings};
use zeitwork_secrets::MasterKey;

/// Longest statement: nobody waits for the answer any more.
const STATEMENT: Duration = Duration::from_millis(3500);
/// Requests in flight may take so long when the daemon stops; streams end at once.
const DRAIN: Duration = Duration::from_secs(10);

fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("openapi") {
        std::io::stdout().write_all(zeitwork_api::openapi_json()?.as_bytes())?;
        return Ok(());
    }
    let settings = Settings::of_process()?;
    let config = Config::read(&settings);
    settings.finish()?;
    let config = config.map_err(ConfigError::from)?;
    if is_check() {
        return Ok(());
    }
    let telemetry = Telemetry::start("zeitwork-api", &TelemetrySettings::read(&settings))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let ended = serve(config).await;
        telemetry.shutdown().await;
        ended
    })
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let life = Lifecycle::new();
    life.install_signal_handlers()?;
    let master_key = MasterKey::load_or_create(&config.master_key_file)?;
    let url = config.database_url.clone().context("ZEITWORK_DATABASE_URL is not set")?;
    let settings = PoolSettings { statement: STATEMENT, ..PoolSettings::default() };
    let database = Database::new(&url, "zeitwork-api", &settings)?;
    zeitwork_api::run(config, Parts { database, master_key }, &life)?;
    Ok(life.drain(DRAIN).await?)
}
