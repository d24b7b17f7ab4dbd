//! The daemon: table, workers, follower, health, each started in the order in which the next
//! needs it.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio_util::sync::CancellationToken;
use zeitwork_database::{Database, PoolSettings};
use zeitwork_runtime::{Clock, Lifecycle};
use zeitwork_web::serve_system;

use crate::access_log;
use crate::admin;
use crate::config::Config;
use crate::routes::compare::Comparer;
use crate::routes::keep::{self, Keeper};
use crate::routes::report::Reporter;
use crate::routes::standing::Standing;
use crate::routes::sync::{self, Follower};
use crate::routes::table::Table;
use crate::server::{Server, Settings};
use crate::{Error, state};

/// The follower, its listener, the reporter, the comparer.
const CONNECTIONS: u32 = 4;

/// The outside world as values.
pub struct Parts {
    /// For the access log.
    pub clock: Clock,
    /// Where the access log goes; none: nowhere.
    pub access_log: Option<Box<dyn Write + Send>>,
}

/// Where a running edge listens.
#[derive(Debug, Clone)]
pub struct Running {
    /// Traffic, in the order of the settings.
    pub traffic: Vec<SocketAddr>,
    /// Health and metrics.
    pub admin: Vec<SocketAddr>,
}

/// Starts the edge; it runs until `life` stops and what is in flight has ended.
///
/// # Errors
/// What keeps it from starting. A database that is away does not.
pub async fn run(config: Config, parts: Parts, life: &Lifecycle) -> Result<Running, Error> {
    let state_error =
        |source| Error::State { path: config.state_dir.display().to_string(), source };
    let place = state::claim(&config.state_dir).map_err(state_error)?;
    let table = Arc::new(Table::new(&config.fixed));
    let disk = keep::warm_up(&table, &place.directory);
    let database = config.database_url.as_ref().map(open).transpose()?;
    let log = parts.access_log.map(|output| {
        let clock = parts.clock.clone();
        access_log::start(output, move || clock.now())
    });
    let settings =
        Settings { addresses: config.http, workers: config.workers, limits: config.limits };
    let log = log.transpose().map_err(Error::Thread)?;
    let server = Server::start(&settings, &table, log.as_ref())?;
    drop(log);
    let standing = Arc::new(Standing::default());
    let traffic = server.addresses().to_vec();
    let health = admin::health(&table, &standing, database.is_some());
    let metrics = admin::metrics(&table, &standing, server.counters());
    if let Some(database) = &database {
        metrics.register(|registry| database.show(registry));
    }
    let admin = serve_system(&config.admin, health, metrics, life)?;
    tracing::info!(?traffic, ?admin, edge.id = %place.id, "serving");
    // They go on while what is in flight is drained, so that nobody waits in vain.
    let over = CancellationToken::new();
    let keeper = Keeper::new(table.clone(), disk, standing.clone());
    let kept = keeper.kept();
    life.spawn("keep routes on disk", keeper.run(over.clone()));
    if let Some(database) = database {
        let anew = Arc::new(AtomicBool::new(false));
        let follower = Follower {
            table: table.clone(),
            database: database.clone(),
            standing: standing.clone(),
            anew: anew.clone(),
        };
        life.spawn("follow routes", follower.run(over.clone()));
        let comparer = Comparer {
            table: table.clone(),
            database: database.clone(),
            standing: standing.clone(),
            anew,
        };
        life.spawn("compare routes", comparer.run(over.clone()));
        let (id, name) = (place.id, config.name);
        let period = sync::PERIOD;
        let reporter = Reporter { table, database, id, name, standing, kept, period };
        life.spawn("report to the lease", reporter.run(over.clone()));
    }
    life.spawn("traffic", serve(server, life.clone(), over, place));
    Ok(Running { traffic, admin })
}

async fn serve(
    mut server: Server,
    life: Lifecycle,
    over: CancellationToken,
    place: state::Place,
) -> Result<(), Error> {
    let early = tokio::select! {
        ended = server.ended() => Some(ended),
        () = life.stopping() => None,
    };
    server.stop();
    let ended = match early {
        Some(ended) => ended,
        None => server.ended().await,
    };
    over.cancel();
    drop(place);
    ended
}

fn open(url: &secrecy::SecretString) -> Result<Database, Error> {
    let settings = PoolSettings { connections: CONNECTIONS, ..PoolSettings::default() };
    Ok(Database::new(url, "zeitwork-edge-proxy", &settings)?)
}
