//! The database of a backup: dumped, tried out, restored, with PostgreSQL's own programs.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use zeitwork_database::{Database, PoolSettings, migrate, projects, restore};
use zeitwork_postgres::{Binaries, Durability, Options, SUPERUSER, Server};
use zeitwork_secrets::master::MasterKey;

use super::archive::{self, Archive};
use crate::commands::owner::database_url;
use crate::session::Session;
use crate::supervise::home::Home;
use crate::supervise::{Lock, database};

/// Longest time for our own server to write its data at the end.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A database that answers, and the server of it where we have started that ourselves.
pub struct Source {
    url: SecretString,
    server: Option<Server>,
    binaries: Option<Binaries>,
    _lock: Option<Lock>,
}

/// What a restored backup holds.
pub struct Found {
    /// Projects that are not deleted.
    pub projects: i64,
}

impl Source {
    /// The platform's database: as it runs, else started for this alone.
    pub async fn open(session: &Session, home: &Home) -> Result<Self> {
        let binaries = Binaries::for_data(&database::data_directory(home)).ok();
        if let Some(url) = database_url(session)? {
            return Ok(Self { url, server: None, binaries, _lock: None });
        }
        let lock = crate::supervise::lock(home)?;
        let server = database::start(home).await?;
        let url = server.url("postgres", SUPERUSER, None).into();
        Ok(Self { url, server: Some(server), binaries, _lock: Some(lock) })
    }

    /// A database for what is restored; the caller holds the lock.
    pub async fn open_empty(session: &Session, home: &Home) -> Result<Self> {
        if let Some(url) = session.secret("ZEITWORK_DATABASE_URL")? {
            return Ok(Self { url, server: None, binaries: Binaries::find().ok(), _lock: None });
        }
        let server = database::start(home).await?;
        let url = server.url("postgres", SUPERUSER, None).into();
        Ok(Self { url, server: Some(server), binaries: Binaries::find().ok(), _lock: None })
    }

    /// Writes everything as it is at one moment; returns how many migrations it has.
    pub async fn dump(&self, file: &Path) -> Result<usize> {
        let pool = pool(&self.url)?;
        let migrations = migrate::count(&pool).await.context("the database")?;
        pool.close().await;
        if migrations == 0 {
            bail!("the database holds no platform");
        }
        let file = file.display().to_string();
        self.tool("pg_dump", &["--format=custom", "--no-owner", "--file", &file]).await?;
        Ok(migrations)
    }

    /// Fills the empty database, checks that the keys fit, and begins a new epoch.
    pub async fn restore(&self, archive: &Archive) -> Result<i64> {
        let known = migrate::MIGRATIONS.iter().count();
        if archive.manifest.migrations > known {
            bail!(
                "the backup was made by a newer release ({}): restore it with that one",
                archive.manifest.version
            );
        }
        let pool = pool(&self.url)?;
        let mut connection = pool.acquire().await.context("the database")?;
        restore::prepare(&mut connection).await?;
        let file = archive.database().display().to_string();
        let arguments = ["--no-owner", "--exit-on-error", "--single-transaction", &file];
        self.tool("pg_restore", &arguments).await?;
        let master = MasterKey::load(&archive.path(archive::MASTER_KEY))?;
        let foreign = projects::keys_of_another_master(&mut connection, master.id()).await?;
        if foreign > 0 {
            bail!("the backup's master key does not open {foreign} projects: use another backup");
        }
        let epoch = restore::begin_epoch(&mut connection).await?;
        drop(connection);
        pool.close().await;
        Ok(epoch)
    }

    /// Stops what was started for this.
    pub async fn close(self) {
        if let Some(server) = self.server {
            let _ = tokio::task::spawn_blocking(move || server.stop(STOP_LIMIT)).await;
        }
    }

    /// Runs one of PostgreSQL's programs on the database. The password goes by the environment:
    /// everybody on the host can read arguments.
    async fn tool(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let mut url = Url::parse(self.url.expose_secret()).context("the database's address")?;
        let password = url.password().map(str::to_owned);
        if url.set_password(None).is_err() {
            bail!("the database's address cannot be read");
        }
        let command = self.binaries.as_ref().map_or_else(
            || std::process::Command::new(program),
            |binaries| binaries.client(program),
        );
        let mut command = tokio::process::Command::from(command);
        command.arg("--dbname").arg(url.as_str()).args(arguments).kill_on_drop(true);
        if let Some(password) = password {
            let password = percent_decoded(&password);
            command.env("PGPASSWORD", password);
        }
        let ended = command
            .output()
            .await
            .with_context(|| format!("{program} (install the package `postgresql-client`)"))?;
        if !ended.status.success() {
            bail!("{program}: {}", String::from_utf8_lossy(&ended.stderr).trim());
        }
        Ok(())
    }
}

/// Restores a backup on a server of its own, which is gone afterwards.
pub async fn try_out(archive: &Archive) -> Result<Found> {
    let directory = std::env::temp_dir().join(format!("zw-try-{:08x}", rand::random::<u32>()));
    let options = Options {
        data: directory.join("data"),
        socket: directory.join("s"),
        durability: Durability::None,
        connections: 10,
        die_with_parent: false,
        passwords: true,
    };
    let binaries = Binaries::find()?;
    let server = tokio::task::spawn_blocking({
        let binaries = binaries.clone();
        move || Server::start(&binaries, &options)
    });
    let server = server.await?.context("a private PostgreSQL")?;
    let url: SecretString = server.url("postgres", SUPERUSER, None).into();
    let source =
        Source { url: url.clone(), server: Some(server), binaries: Some(binaries), _lock: None };
    let tried = async {
        source.restore(archive).await?;
        let pool = pool(&url)?;
        let projects = restore::projects(&mut *pool.acquire().await?).await?;
        pool.close().await;
        anyhow::Ok(Found { projects })
    };
    let tried = tried.await;
    source.close().await;
    let _ = std::fs::remove_dir_all(&directory);
    tried
}

fn pool(url: &SecretString) -> Result<Database> {
    Ok(Database::new(url, "zeitwork-backup", &PoolSettings::default())?)
}

/// What a URL's part stands for.
fn percent_decoded(text: &str) -> String {
    let query = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(query.as_bytes())
        .next()
        .map_or_else(|| text.to_owned(), |(_, decoded)| decoded.into_owned())
}
