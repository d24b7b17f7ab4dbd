//! The daemon: puts the parts together. Starts with the database away, from what is on disk.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{Uid, User};
use tokio::sync::watch;
use zeitwork_database::{Database, installation};
use zeitwork_model::reason::Reason;
use zeitwork_outbound::Guard;
use zeitwork_runtime::clock::Clock;
use zeitwork_runtime::failpoint::effect_at_once;
use zeitwork_runtime::lifecycle::{Lifecycle, chain};
use zeitwork_runtime::step;
use zeitwork_secrets::PrivateKey;
use zeitwork_web::{BindError, CheckOutcome, Health, Metrics, serve_system};

use crate::build::BuildParts;
use crate::build::bases::Pulled;
use crate::build::engine::Engine as BuildEngine;
use crate::build::git::GitUser;
use crate::builds::Builds;
use crate::clean::clean;
use crate::config::Config;
use crate::container::engine::Engine;
use crate::container::events;
use crate::container::labels::Owner;
use crate::disk;
use crate::instances::memory::Memory;
use crate::instances::{Instances, Surroundings};
use crate::logs::follow::{Followers, OpenStream};
use crate::logs::ship::Shipping;
use crate::logs::throttle::DAY_BYTES;
use crate::metrics::Figures;
use crate::network::bridge::Bridge;
use crate::network::{Network, NetworkError};
use crate::observe::host::Host;
use crate::report::{Contact, Reporter};
use crate::space::Space;
use crate::target::Targets;

/// Pause before the installation's id is asked for again.
const PAUSE: Duration = Duration::from_secs(1);
/// Without a written report for so long the agent is not ready.
const SILENCE: Duration = Duration::from_secs(10);
/// Time for instances to end when everything is removed.
const GRACE: Duration = Duration::from_secs(10);

/// What the agent is given from outside.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The database, with this node's own login.
    pub database: Database,
    /// The clock.
    pub clock: Clock,
}

/// Why the agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Its address cannot be used.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its directory cannot be used.
    #[error("the directory {path} cannot be used")]
    Directory {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its key cannot be used.
    #[error("the node's key cannot be used")]
    Key(#[from] zeitwork_secrets::Error),
    /// What it made cannot be removed.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// Starts the agent; it runs until `life` stops. Instances go on running after that.
///
/// # Errors
/// An address, directory or key that cannot be used. All else is waited for.
pub fn run(config: Config, parts: Parts, life: &Lifecycle) -> Result<(), AgentError> {
    make_directory(&config.directory, 0o700)?;
    let key = Arc::new(PrivateKey::load_or_create(&config.key_file)?);
    let (health, metrics, contact) = (Health::new(), Metrics::new(), Contact::default());
    let seen = contact.clone();
    health.require("report", move || {
        let silence = seen.silence();
        async move {
            if silence < SILENCE {
                CheckOutcome::ok("written in time")
            } else {
                CheckOutcome::failed(format!("none was written for {} s", silence.as_secs()))
            }
        }
    });
    metrics.register(|registry| parts.database.show(registry));
    let addresses = serve_system(&config.addresses, health.clone(), metrics.clone(), life)?;
    tracing::info!(?addresses, node.name = config.name, "listening");
    let work = work(config, parts, key, (health, metrics, contact), life.clone());
    life.spawn("agent", work);
    Ok(())
}

async fn work(
    config: Config,
    parts: Parts,
    key: Arc<PrivateKey>,
    (health, metrics, contact): (Health, Metrics, Contact),
    life: Lifecycle,
) -> Result<(), AgentError> {
    let Some(installation) = installation(&config, &parts.database, &life).await else {
        return Ok(());
    };
    let owner = Owner { installation, node: config.name.clone() };
    let engine = Arc::new(Engine::new(config.docker_host.clone(), owner.clone()));
    show_engine(&health, &engine);
    let shipping = Shipping {
        database: parts.database.clone(),
        clock: parts.clock.clone(),
        life: life.clone(),
        day_bytes: DAY_BYTES,
    };
    let streams = shipping.clone();
    let open: OpenStream = Arc::new(move |id| streams.instance(id));
    let targets = Arc::new(Targets::load(config.file("target.json")));
    let builds = build_parts(&config, &owner, Arc::clone(&key))?;
    let (instances, snapshots) = Instances::new(Surroundings {
        engine: Arc::clone(&engine),
        network: network(&config, &owner),
        key: Arc::clone(&key),
        targets: targets.subscribe(),
        memory: Memory::load(config.file("instances.json")),
        followers: Followers::new(Arc::clone(&engine), Arc::clone(&key), open, life.clone()),
        space: watch_space(&builds, &life),
        life: life.clone(),
    });
    let (builds, built) =
        Builds::new(builds, targets.subscribe(), contact.clone(), shipping, life.clone());
    let disk = config.directory.clone();
    Figures::follow(&metrics, snapshots.clone(), built.clone(), contact.clone(), disk, &life);
    let reporter = Reporter {
        database: parts.database.clone(),
        snapshots,
        builds: built,
        build_problem: builds.problem(),
        host: Host::new(config.directory.clone()),
        contact,
    };
    let watching = stop_with(life.clone(), events::watch(engine, instances.again()));
    life.spawn("engine events", watching);
    life.spawn("reports", reporter.run(life.clone()));
    life.spawn("instances", instances.run());
    life.spawn("builds", builds.run());
    life.spawn("targets", targets.follow(parts.database, life.clone()));
    Ok(())
}

/// Removes every container, the bridge and the rules of each node that ran from the directory;
/// images and files stay.
///
/// # Errors
/// What could not be removed. A directory from which no node ever ran has nothing.
pub async fn remove(config: &Config) -> Result<(), AgentError> {
    for name in config.names() {
        let config = Config { name, ..config.clone() };
        let Some(installation) = remembered(&config) else { continue };
        let owner = Owner { installation, node: config.name.clone() };
        let engine = Engine::new(config.docker_host.clone(), owner.clone());
        clean(&engine, &mut network(&config, &owner), GRACE).await?;
        let directory = reachable_directory(&owner);
        // Neither is there where git runs as ourselves; the parent may hold other nodes.
        let _ = std::fs::remove_dir_all(&directory);
        let _ = directory.parent().map(std::fs::remove_dir);
    }
    Ok(())
}

fn network(config: &Config, owner: &Owner) -> Network {
    let bridge = Bridge::new(owner, config.pool, config.file("subnet"));
    Network::new(bridge, config.egress_allow.clone())
}

async fn stop_with(life: Lifecycle, work: impl Future<Output = ()>) {
    tokio::select! {
        () = life.stopping() => {}
        () = work => {}
    }
}

fn remembered(config: &Config) -> Option<String> {
    let text = std::fs::read_to_string(config.file("installation")).ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

/// The installation's id: from disk, or from the database as soon as it answers.
async fn installation(config: &Config, database: &Database, life: &Lifecycle) -> Option<String> {
    if let Some(id) = remembered(config) {
        return Some(id);
    }
    loop {
        let read = async {
            let mut connection = database.acquire().await?;
            installation::read(&mut connection).await
        };
        match read.await {
            Ok(found) => {
                let file = config.file("installation");
                let keep = step!("installation.keep");
                if let Err(error) = disk::write(keep, &file, found.id.as_bytes()) {
                    tracing::error!(%error, "the installation's id cannot be kept");
                }
                return Some(found.id);
            }
            Err(error) => tracing::warn!(error = chain(&error), "waiting for the database"),
        }
        tokio::select! {
            () = life.stopping() => return None,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

fn show_engine(health: &Health, engine: &Arc<Engine>) {
    let engine = Arc::clone(engine);
    health.require("engine", move || {
        let engine = Arc::clone(&engine);
        async move {
            match engine.version().await {
                Ok(version) => CheckOutcome::ok(format!("Docker Engine {version}")),
                Err(error) => CheckOutcome::failed(chain(&error)),
            }
        }
    });
}

fn watch_space(builds: &BuildParts, life: &Lifecycle) -> watch::Receiver<Option<Reason>> {
    let (told, space) = watch::channel(None);
    let watching = Space {
        engine: BuildEngine::new(&builds.engine_socket),
        work_directory: builds.work_directory.clone(),
        floor: builds.disk_floor,
        pulled: Arc::clone(&builds.pulled),
        told,
    };
    life.spawn("space", watching.run(life.clone()));
    space
}

/// Of this node, where every user may pass.
fn reachable_directory(owner: &Owner) -> PathBuf {
    Path::new("/var/lib/zeitwork").join(&owner.installation).join(&owner.node)
}

fn build_parts(
    config: &Config,
    owner: &Owner,
    key: Arc<PrivateKey>,
) -> Result<BuildParts, AgentError> {
    // As root git runs as somebody else, who must be able to reach the checkout; the state
    // directory is often a private one.
    let git_user = Uid::effective().is_root().then(|| User::from_name("nobody").ok()?).flatten();
    let git_user = git_user.map(|user| GitUser { uid: user.uid.as_raw(), gid: user.gid.as_raw() });
    let work_directory = match git_user {
        Some(_) => reachable_directory(owner),
        None => config.directory.clone(),
    }
    .join("builds");
    make_directory(&work_directory, 0o711)?;
    let parts = BuildParts {
        engine_socket: config.engine_socket(),
        work_directory,
        git: "git".into(),
        git_user,
        guard: Guard::new(config.egress_allow.clone(), config.insecure_hosts.clone()),
        pulled: Arc::new(Pulled::load(config.file("bases.json"))),
        disk_floor: config.disk_floor,
        registries: Guard::new(config.egress_allow.clone(), Vec::new()),
        installation: owner.installation.clone(),
        key,
        cgroup_root: "/sys/fs/cgroup".into(),
    };
    // What stays costs disk; it is no reason not to serve.
    let cleared = effect_at_once(step!("builds.clear"), || crate::build::clear(&parts));
    if let Err(error) = cleared {
        tracing::warn!(%error, "checkouts of an earlier life were not removed");
    }
    Ok(parts)
}

fn make_directory(path: &Path, mode: u32) -> Result<(), AgentError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| AgentError::Directory { path: path.to_owned(), source })
}
