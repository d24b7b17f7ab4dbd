//! The database of `zeitwork up`: a private server unless an address is given, the schema, and a
//! login for each daemon with a password that is new at every start.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::oneshot;
use url::Url;
use zeitwork_database::login::{self, Role};
use zeitwork_database::{Database, PoolSettings, installation, migrate};
use zeitwork_postgres::{Binaries, Durability, Options, SUPERUSER, Server};

use super::group::{Stop, told};
use super::home::{Account, Home, make_directory, write_secret};
use super::patience::{Patience, STABLE, Said};

/// Between two looks whether the server runs.
const LOOK: Duration = Duration::from_millis(500);
/// Longest time for it to end its sessions and write its data.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Bytes of a login's password.
const PASSWORD_BYTES: usize = 32;
/// A socket's path has at most 107 octets, of which its own name takes 17.
const SOCKET_DIRECTORY_MAXIMUM: usize = 88;

/// A database that is ready for the daemons.
#[derive(Debug)]
pub struct Prepared {
    /// As the owner of everything.
    pub owner: Database,
    /// Address for the owner.
    pub owner_url: SecretString,
}

/// Brings the schema up to date and makes sure that the database is this installation's.
pub async fn prepare(home: &Home, owner_url: SecretString) -> Result<Prepared> {
    let owner = Database::new(&owner_url, "zeitwork-up", &PoolSettings::patient())?;
    let applied = migrate::run(&owner).await.context("the database schema")?;
    if applied > 0 {
        tracing::info!(applied, "migrated the database schema");
    }
    let mut connection = owner.acquire().await?;
    installation::adopt(&mut connection, &home.installation).await?;
    Ok(Prepared { owner, owner_url })
}

/// Keeps a private server running until told to stop, then stops it. How the first start went is
/// sent: the address of its database.
pub async fn keep(home: Home, first: oneshot::Sender<Result<SecretString>>, mut stop: Stop) {
    let mut server = match start(&home).await {
        Ok(server) => {
            let _ = first.send(Ok(server.url("postgres", SUPERUSER, None).into()));
            server
        }
        Err(error) => return drop(first.send(Err(error))),
    };
    let (mut patience, mut started) = (Patience::default(), Instant::now());
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = told(&mut stop) => break,
        }
        if server.is_alive() {
            if patience.is_tried() && started.elapsed() > STABLE && patience.is_stable() {
                tracing::info!("the database runs again");
            }
            continue;
        }
        let (mut said, mut pause) = patience.ended(started.elapsed());
        loop {
            started = Instant::now();
            say(&home, said, "it ended");
            match start(&home).await {
                Ok(again) => break server = again,
                Err(error) => say(&home, said, &format!("{error:#}")),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = told(&mut stop) => return,
            }
            (said, pause) = patience.ended(started.elapsed());
        }
    }
    let stopped = tokio::task::spawn_blocking(move || server.stop(STOP_LIMIT)).await;
    if let Err(error) = stopped {
        tracing::error!(%error, "the database could not be stopped");
    }
}

fn say(home: &Home, said: Said, why: &str) {
    let log = data_directory(home).join("server.log");
    let log = log.display();
    match said {
        Said::Ended => tracing::warn!(why, %log, "the database ended; it is started again"),
        Said::KeepsEnding => {
            tracing::error!(why, %log, "the database keeps ending; it is tried again every few seconds, which is not said any more");
        }
        Said::Nothing => {}
    }
}

/// Starts the private server, which may take a while after a crash.
pub async fn start(home: &Home) -> Result<Server> {
    let home = home.clone();
    tokio::task::spawn_blocking(move || start_private(&home)).await?
}

/// Where the private server keeps its files.
pub fn data_directory(home: &Home) -> PathBuf {
    home.root.join("postgres/data")
}

/// Makes the login and leaves its address in the daemon's own directory; returns that file.
pub async fn give_login(
    prepared: &Prepared,
    login_name: &str,
    role: Role,
    directory: &std::path::Path,
    account: Account,
) -> Result<PathBuf> {
    let password: SecretString = hex::encode(rand::random::<[u8; PASSWORD_BYTES]>()).into();
    let mut connection = prepared.owner.acquire().await?;
    login::ensure(&mut connection, login_name, role, &password).await?;
    let mut url = Url::parse(prepared.owner_url.expose_secret())?;
    let changed = url
        .set_username(login_name)
        .and_then(|()| url.set_password(Some(password.expose_secret())));
    if changed.is_err() {
        anyhow::bail!("ZEITWORK_DATABASE_URL cannot carry a user name and password");
    }
    let file = directory.join("database.url");
    write_secret(&file, &SecretString::from(url.to_string()), account)?;
    Ok(file)
}

fn start_private(home: &Home) -> Result<Server> {
    let root = home.root.join("postgres");
    let mut socket = root.join("s");
    if socket.as_os_str().len() > SOCKET_DIRECTORY_MAXIMUM {
        socket = std::env::temp_dir().join(format!("zeitwork-{}", home.installation));
    }
    make_directory(&root, 0o711)?;
    let options = Options {
        data: data_directory(home),
        socket,
        durability: Durability::Full,
        connections: 200,
        die_with_parent: false,
        passwords: true,
    };
    let started =
        Binaries::for_data(&options.data).and_then(|found| Server::start(&found, &options));
    started.context("the private PostgreSQL")
}
