//! `zeitwork up`: the whole platform on this host, as processes of its own.
//!
//! It starts a private PostgreSQL and Docker Engine where none is given, keeps the daemons
//! running, and stops everything in order. It decides nothing about deployments.

mod daemon;
mod daemons;
mod database;
mod demo;
pub mod engine;
pub mod home;
mod printed;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use zeitwork_auth::api_key::ApiKey;
use zeitwork_runtime::config::{Settings, Sources};

use self::daemon::Daemon;
use self::database::Prepared;
use self::engine::Engine;
use self::home::Home;
use crate::api::Api;
use crate::output::Output;

/// Longest start until the platform says that it is ready.
const READY_LIMIT: Duration = Duration::from_mins(2);
/// Longest time until the owner's key works after that.
const KEY_LIMIT: Duration = Duration::from_secs(5);
/// Longest time for the agent to remove what it runs.
const CLEAN_LIMIT: Duration = Duration::from_secs(90);
/// Signals closer to each other are one.
const ECHO: Duration = Duration::from_secs(1);
const DATABASE_STOP_LIMIT: Duration = Duration::from_secs(20);

/// How to run.
#[derive(Debug, Clone, Copy)]
pub struct Choices {
    /// Start the stand-in for GitHub and deploy the sample.
    pub demo: bool,
    /// Leave instances running at the end.
    pub detach_instances: bool,
}

/// Runs the platform until SIGINT or SIGTERM.
pub async fn up(choices: Choices, output: &Output) -> Result<()> {
    let mut interrupted = Interrupt::watch()?;
    let settings = Sources::of_environment().load();
    settings.finish()?;
    let state = settings.raw("ZEITWORK_STATE_DIR").context("ZEITWORK_STATE_DIR")?.to_owned();
    let home = Home::prepare(Path::new(&state))?;
    let _lock = lock(&home)?;
    let _ = std::fs::remove_file(home.state.join("up.json"));
    daemon::end_leftovers(&home).await?;

    output.step("database");
    let prepared = database::prepare(&home, secret(&settings, "ZEITWORK_DATABASE_URL")?).await?;
    output.step("container engine");
    let engine = engine::prepare(&home).await?;
    let mut running = Running {
        home,
        prepared,
        engine: Some(engine),
        agent: None,
        stop: watch::channel(false).0,
        tasks: JoinSet::new(),
    };

    let outcome = tokio::select! {
        outcome = running.run(settings, choices, output) => outcome,
        () = interrupted.wait() => Ok(()),
    };
    output.step("stopping");
    tokio::select! {
        () = running.stop(choices.detach_instances) => {}
        () = interrupted.wait() => output.step("interrupted again: what still runs is left to the next start"),
    }
    outcome
}

struct Running {
    home: Home,
    prepared: Prepared,
    engine: Option<Engine>,
    /// Knows how to remove what it runs.
    agent: Option<Daemon>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Running {
    /// Starts everything and then waits for ever.
    async fn run(&mut self, settings: Settings, choices: Choices, output: &Output) -> Result<()> {
        let (settings, demo) = if choices.demo {
            output.step("stand-in for GitHub");
            let demo =
                self.start_demo(settings.raw("ZEITWORK_API_ADDRESS").unwrap_or_default()).await?;
            (demo.settings(Sources::of_environment()).load(), Some(demo))
        } else {
            (settings, None)
        };
        settings.finish()?;
        let key = daemons::owner_key(&self.home, &settings)?;
        for daemon in daemons::plan(&self.home, &settings, &self.prepared, &key).await? {
            if daemon.name == daemons::NODE_AGENT {
                self.agent = Some(daemon.clone());
            }
            self.start(daemon);
        }
        output.step("waiting until every part is ready");
        let api = self.wait_until_ready(&settings, &key).await?;
        let known = known(&api).await;
        if let Err(error) = &known {
            // What is deployed serves all the same.
            output.step(&format!(
                "the owner's key does not work ({error:#}): if it was revoked, \
                 `zeitwork owner reset` makes another"
            ));
        }
        let app = match demo.filter(|_| known.is_ok()) {
            Some(demo) => Some(demo.deploy(&self.home, &api, output).await?),
            None => None,
        };
        printed::announce(&self.home, &settings, app.as_ref(), output)?;
        std::future::pending().await
    }

    async fn start_demo(&mut self, api: &str) -> Result<demo::Demo> {
        let (daemon, file) = demo::daemon(&self.home, api)?;
        self.start(daemon);
        demo::Demo::wait_for(&file).await
    }

    fn start(&mut self, daemon: Daemon) {
        self.tasks.spawn(daemon.supervise(self.home.clone(), self.stop.subscribe()));
    }

    async fn wait_until_ready(&self, settings: &Settings, key: &ApiKey) -> Result<Api> {
        let address = settings.raw("ZEITWORK_API_ADDRESS").unwrap_or_default();
        let address = address.split(',').next().unwrap_or_default().trim();
        let api = Api::new(&format!("http://{address}"), key.expose())?;
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            match api.readiness().await {
                Ok(None) => return Ok(api),
                Ok(Some(missing)) if Instant::now() > deadline => {
                    bail!("not ready after {} s: {missing}", READY_LIMIT.as_secs())
                }
                Err(error) if Instant::now() > deadline => {
                    let log = self.home.state.join("log");
                    return Err(error.context(format!(
                        "the api does not answer; logs are in {}",
                        log.display()
                    )));
                }
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Daemons first, then what they ran, then what they needed.
    async fn stop(&mut self, detach_instances: bool) {
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        if !detach_instances && let Err(error) = self.remove_instances().await {
            tracing::error!(error = format!("{error:#}"), "instances could not be removed");
        }
        self.prepared.owner.close().await;
        if let Some(server) = self.prepared.server.take() {
            let stopped =
                tokio::task::spawn_blocking(move || server.stop(DATABASE_STOP_LIMIT)).await;
            if let Err(error) = stopped {
                tracing::error!(%error, "the database could not be stopped");
            }
        }
        if !detach_instances && let Some(engine) = self.engine.take() {
            engine.stop().await;
        }
        let _ = std::fs::remove_file(self.home.state.join("up.json"));
    }

    /// The agent alone touches containers and networks.
    async fn remove_instances(&self) -> Result<()> {
        let Some(agent) = &self.agent else { return Ok(()) };
        let mut command = tokio::process::Command::new(&agent.program);
        command.arg("remove").env_clear().envs(agent.environment.iter().cloned());
        command.stdout(self.home.log(&agent.name)?).stderr(self.home.log(&agent.name)?);
        let ended =
            tokio::time::timeout(CLEAN_LIMIT, command.kill_on_drop(true).status()).await??;
        if ended.success() {
            Ok(())
        } else {
            bail!("`zeitwork-node-agent remove` ended with {ended}")
        }
    }
}

/// Waits until the api knows the key, which it stores as soon as it has its database.
async fn known(api: &Api) -> Result<()> {
    let deadline = Instant::now() + KEY_LIMIT;
    loop {
        match api.list("/projects", 1).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// A secret setting; every mistake in the settings is told at once.
fn secret(settings: &Settings, name: &'static str) -> Result<Option<SecretString>> {
    match settings.secret(name) {
        Ok(secret) => Ok(secret),
        Err(_) => settings.finish().map(|()| None).map_err(Into::into),
    }
}

/// One `up` for a state directory.
fn lock(home: &Home) -> Result<Flock<std::fs::File>> {
    let file = std::fs::File::create(home.state.join("run/up.lock"))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| anyhow::anyhow!("`zeitwork up` already runs on {}", home.state.display()))
}

/// SIGINT and SIGTERM, as often as they come.
struct Interrupt {
    keyboard: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    last: Option<Instant>,
}

impl Interrupt {
    fn watch() -> Result<Self> {
        Ok(Self {
            keyboard: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            last: None,
        })
    }

    async fn wait(&mut self) {
        loop {
            tokio::select! {
                _ = self.keyboard.recv() => {}
                _ = self.terminate.recv() => {}
            }
            // One Ctrl-C may arrive twice: from the terminal and from a parent that passes it on.
            if self.last.is_none_or(|last| last.elapsed() > ECHO) {
                self.last = Some(Instant::now());
                return;
            }
        }
    }
}
