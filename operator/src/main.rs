//! `zeitwork-operator`: the daemon, or with `check` what is wrong with its settings.

use std::time::Duration;

use anyhow::Context as _;
use zeitwork_database::{Database, PoolSettings};
use zeitwork_operator::{Config, Parts};
use zeitwork_runtime::config::is_check;
use zeitwork_runtime::telemetry::{Telemetry, TelemetrySettings};
use zeitwork_runtime::{Clock, Common, ConfigError, Lifecycle, Settings, failpoint};
use zeitwork_secrets::MasterKey;

/// A pass in flight may take so long when the daemon stops.
const DRAIN: Duration = Duration::from_secs(10);

fn main() -> anyhow::Result<()> {
    let settings = Settings::of_process()?;
    let config = Config::read(&settings);
    let common = Common::read(&settings);
    settings.finish()?;
    let config = config?;
    if is_check() {
        return Ok(());
    }
    failpoint::obey(&common.map_err(ConfigError::from)?.state_dir);
    let telemetry = TelemetrySettings::read(&settings);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(config, telemetry))
}

async fn serve(config: Config, telemetry: TelemetrySettings) -> anyhow::Result<()> {
    let life = Lifecycle::new();
    life.install_signal_handlers()?;
    let telemetry = Telemetry::start("zeitwork-operator", &telemetry)?;
    let master_key = MasterKey::load_or_create(&config.master_key_file)?;
    let url = config.database_url.clone().context("ZEITWORK_DATABASE_URL is not set")?;
    let database = Database::new(&url, "zeitwork-operator", &PoolSettings::default())?;
    let parts = Parts { database, master_key, clock: Clock::system() };
    zeitwork_operator::run(config, parts, &life)?;
    let ended = life.drain(DRAIN).await;
    telemetry.shutdown().await;
    Ok(ended?)
}
