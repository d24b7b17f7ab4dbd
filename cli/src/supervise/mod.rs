//! `zeitwork up`: the whole platform on this host, as processes of its own.
//!
//! It starts a private PostgreSQL and Docker Engine where none is given, keeps the daemons
//! running, and stops everything in order. It decides nothing about deployments.

mod check;
mod daemon;
mod daemons;
pub mod database;
mod demo;
pub mod engine;
mod group;
pub mod home;
mod interrupt;
mod lock;
mod logs;
mod node_name;
mod patience;
pub mod ports;
mod printed;
mod ready;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Uid;
use secrecy::SecretString;
use tokio::sync::oneshot;
use zeitwork_database::Database;
use zeitwork_runtime::config::{Settings, Sources};

use self::daemon::Daemon;
use self::group::Group;
use self::home::Home;
use self::interrupt::Interrupt;
pub use self::lock::{Lock, lock, runs_as};
use crate::output::Output;

/// Longest time for the agent to remove what it runs.
const CLEAN_LIMIT: Duration = Duration::from_secs(90);

/// How to run.
#[derive(Debug, Clone, Copy)]
pub struct Choices {
    /// Start the stand-in for GitHub and deploy the sample.
    pub demo: bool,
    /// Leave instances running at the end.
    pub detach_instances: bool,
}

/// Runs the platform until SIGINT, SIGTERM or SIGHUP.
pub async fn up(choices: Choices, output: &Output) -> Result<()> {
    let mut interrupted = Interrupt::watch()?;
    // A strict one would shut the unprivileged users out of their own directories, here and in the
    // daemons. What is secret says its mode itself.
    umask(Mode::from_bits_truncate(0o022));
    let settings = Sources::of_environment().load();
    if !Uid::effective().is_root() {
        bail!(
            "this needs root: tenants are kept apart by firewall rules and control groups, and \
             without them nothing is built or started. Try `sudo -E {} up`; api, operator, edge \
             and database give the rights up",
            std::env::current_exe()?.display()
        );
    }
    check::settings().await?;
    for name in settings.unused() {
        output.step(&format!("{name} is set, and not used by this version"));
    }
    let state = settings.raw("ZEITWORK_STATE_DIR").context("ZEITWORK_STATE_DIR")?.to_owned();
    let home = Home::prepare(Path::new(&state))?;
    let _lock = lock(&home)?;
    let _ = std::fs::remove_file(home.state.join("up.json"));
    daemon::end_leftovers(&home).await?;
    refuse_taken_ports(&settings)?;

    let mut running = Running {
        home,
        choices,
        owner: None,
        agent: None,
        daemons: Group::new(),
        ground: Group::new(),
    };
    let outcome = tokio::select! {
        outcome = running.run(settings, output) => outcome,
        () = interrupted.wait() => Ok(()),
    };
    output.step("stopping");
    tokio::select! {
        () = running.stop() => {}
        () = interrupted.wait() => output.step("interrupted again: what still runs is left to the next start"),
    }
    outcome
}

/// Said before anything starts: later it would be one daemon that keeps ending.
fn refuse_taken_ports(settings: &Settings) -> Result<()> {
    let taken = ports::all_taken(settings);
    settings.finish()?;
    let mistakes: Vec<String> = taken
        .iter()
        .map(|it| format!("{} ({}): {}: {}", it.address, it.name, it.error, it.remedy()))
        .collect();
    if mistakes.is_empty() { Ok(()) } else { bail!(mistakes.join("\n")) }
}

struct Running {
    home: Home,
    choices: Choices,
    owner: Option<Database>,
    /// Knows how to remove what it runs.
    agent: Option<Daemon>,
    daemons: Group,
    /// What the daemons stand on: database and engine.
    ground: Group,
}

impl Running {
    /// Starts everything and then waits for ever.
    async fn run(&mut self, settings: Settings, output: &Output) -> Result<()> {
        let home = self.home.clone();
        self.ground.spawn(|stop| logs::keep_small(home, stop));
        output.step("database");
        let owner_url = self.database_url(&settings).await?;
        let prepared = database::prepare(&self.home, owner_url).await?;
        self.owner = Some(prepared.owner.clone());
        output.step("container engine");
        self.start_engine().await?;
        let (settings, demo) = if self.choices.demo {
            output.step("stand-in for GitHub");
            let demo =
                self.start_demo(settings.raw("ZEITWORK_API_ADDRESS").unwrap_or_default()).await?;
            let insecure = settings.raw("ZEITWORK_GIT_INSECURE_HOSTS");
            (demo.settings(Sources::of_environment(), insecure).load(), Some(demo))
        } else {
            (settings, None)
        };
        settings.finish()?;
        let key = daemons::owner_key(&self.home, &settings)?;
        for daemon in daemons::plan(&self.home, &settings, &prepared, &key).await? {
            if daemon.name == daemons::NODE_AGENT {
                self.agent = Some(daemon.clone());
            }
            self.start(daemon);
        }
        output.step("waiting until every part is ready");
        let api = ready::wait(&self.home, &settings, &key, output).await?;
        let known = ready::known(&api).await;
        if let Err(error) = &known {
            // What is deployed serves all the same.
            output.step(&format!(
                "the owner's key does not work ({error:#}): if it was revoked, \
                 `zeitwork owner reset` makes another"
            ));
        }
        let edge = settings.raw("ZEITWORK_EDGE_HTTP_ADDRESS").unwrap_or_default();
        let edge = edge.split(',').next().unwrap_or_default().trim();
        let app = match demo.filter(|_| known.is_ok()) {
            Some(demo) => Some(demo.deploy(&self.home, &api, edge, output).await?),
            None => None,
        };
        printed::announce(&self.home, &settings, app.as_ref(), output)?;
        std::future::pending().await
    }

    /// The database that is given, else the private one, which is kept running from now on.
    async fn database_url(&mut self, settings: &Settings) -> Result<SecretString> {
        if let Some(given) = secret(settings, "ZEITWORK_DATABASE_URL")? {
            return Ok(given);
        }
        let (first, started) = oneshot::channel();
        let home = self.home.clone();
        self.ground.spawn(|stop| database::keep(home, first, stop));
        started.await.context("the private PostgreSQL")?
    }

    async fn start_engine(&mut self) -> Result<()> {
        let (first, started) = oneshot::channel();
        let (home, detach) = (self.home.clone(), self.choices.detach_instances);
        self.ground.spawn(|stop| engine::keep(home, first, stop, detach));
        started.await.context("the container engine")?
    }

    async fn start_demo(&mut self, api: &str) -> Result<demo::Demo> {
        let (daemon, file) = demo::daemon(&self.home, api)?;
        self.start(daemon);
        demo::Demo::wait_for(&file).await
    }

    fn start(&mut self, daemon: Daemon) {
        let home = self.home.clone();
        self.daemons.spawn(|stop| daemon.supervise(home, stop));
    }

    /// Daemons first, then what they ran, then what they needed.
    async fn stop(&mut self) {
        self.daemons.stop().await;
        if !self.choices.detach_instances
            && let Err(error) = self.remove_instances().await
        {
            tracing::error!(error = format!("{error:#}"), "instances could not be removed");
        }
        if let Some(owner) = self.owner.take() {
            owner.close().await;
        }
        self.ground.stop().await;
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

/// A secret setting; every mistake in the settings is told at once.
fn secret(settings: &Settings, name: &'static str) -> Result<Option<SecretString>> {
    match settings.secret(name) {
        Ok(secret) => Ok(secret),
        Err(_) => settings.finish().map(|()| None).map_err(Into::into),
    }
}
