//! `zeitwork-node-agent`: the daemon; with `remove` the removal of what it made, with `check` what
//! is wrong with its settings.

use std::time::Duration;

use anyhow::Context as _;
use zeitwork_database::{Database, PoolSettings};
use zeitwork_node_agent::{Config, Parts};
use zeitwork_runtime::clock::Clock;
use zeitwork_runtime::config::{Common, Settings, Sources, is_check};
use zeitwork_runtime::failpoint;
use zeitwork_runtime::lifecycle::Lifecycle;
use zeitwork_runtime::telemetry::{Telemetry, TelemetrySettings};

/// Time for last reports and log lines when the daemon stops.
const DRAIN: Duration = Duration::from_secs(5);
/// Reports, target, and log streams that are written at once.
const CONNECTIONS: u32 = 5;

fn main() -> anyhow::Result<()> {
    let removes = std::env::args().nth(1).as_deref() == Some("remove");
    let settings = if removes { Sources::of_environment().load() } else { Settings::of_process()? };
    let config = Config::read(&settings);
    let common = Common::read(&settings);
    if removes { settings.finish_leniently() } else { settings.finish() }?;
    let (config, common) = (config?, common.map_err(zeitwork_runtime::ConfigError::from)?);
    if is_check() {
        return Ok(());
    }
    failpoint::obey(&config.directory);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let life = Lifecycle::new();
        let telemetry =
            Telemetry::start("zeitwork-node-agent", &TelemetrySettings::read(&settings))?;
        let ended = if removes {
            zeitwork_node_agent::remove(&config).await.map_err(Into::into)
        } else {
            serve(config, common, &life).await
        };
        telemetry.shutdown().await;
        ended
    })
}

async fn serve(config: Config, common: Common, life: &Lifecycle) -> anyhow::Result<()> {
    life.install_signal_handlers()?;
    let url = common.database_url.context("ZEITWORK_DATABASE_URL is not set")?;
    let pool = PoolSettings { connections: CONNECTIONS, ..PoolSettings::default() };
    let database = Database::new(&url, "zeitwork-node-agent", &pool)?;
    zeitwork_node_agent::run(config, Parts { database, clock: Clock::system() }, life)?;
    Ok(life.drain(DRAIN).await?)
}
