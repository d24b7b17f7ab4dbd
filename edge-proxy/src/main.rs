//! The edge proxy's program; with `check` it says what is wrong with its settings.

use std::io::{Write, stdout};
use std::time::Duration;

use anyhow::Context as _;
use zeitwork_edge_proxy::{Config, Parts, run};
use zeitwork_runtime::config::{Settings, is_check};
use zeitwork_runtime::telemetry::{Telemetry, TelemetrySettings};
use zeitwork_runtime::{Clock, Lifecycle};

/// Four allocations in a request are many: this one made them 4 to 12 % cheaper than glibc's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The workers' own limit is shorter; this one ends a stop that hangs elsewhere.
const DRAIN: Duration = Duration::from_secs(35);

/// The workers have runtimes of their own; here run the follower, health and metrics.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::of_process()?;
    let config = Config::read(&settings)?;
    if is_check() {
        return Ok(());
    }
    let life = Lifecycle::new();
    let telemetry = Telemetry::start("zeitwork-edge-proxy", &TelemetrySettings::read(&settings))?;
    life.install_signal_handlers().context("signals cannot be caught")?;
    // `RUST_LOG=info,access_log=off` turns it off.
    let wanted = tracing::enabled!(target: "access_log", tracing::Level::INFO);
    let access_log = wanted.then(|| Box::new(stdout()) as Box<dyn Write + Send>);
    run(config, Parts { clock: Clock::system(), access_log }, &life).await?;
    let ended = life.drain(DRAIN).await;
    telemetry.shutdown().await;
    Ok(ended?)
}
