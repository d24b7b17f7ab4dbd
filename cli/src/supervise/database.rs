//! The database of `zeitwork up`: a private server unless an address is given, the schema, and a
//! login for each daemon with a password that is new at every start.

use std::path::PathBuf;

use anyhow::{Context, Result};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use zeitwork_database::login::{self, Role};
use zeitwork_database::{Database, PoolSettings, installation, migrate};
use zeitwork_postgres::{Binaries, Durability, Options, Server};

use super::home::{Account, Home, write_secret};

/// Bytes of a login's password.
const PASSWORD_BYTES: usize = 32;
/// A socket's path has at most 107 octets, of which its own name takes 17.
const SOCKET_DIRECTORY_MAXIMUM: usize = 88;

/// A running database.
#[derive(Debug)]
pub struct Prepared {
    /// As the owner of everything.
    pub owner: Database,
    /// Address for the owner.
    pub owner_url: SecretString,
    /// The private server, where there is one.
    pub server: Option<Server>,
}

/// Starts or finds the server and brings the schema up to date.
pub async fn prepare(home: &Home, given: Option<SecretString>) -> Result<Prepared> {
    let (owner_url, server) = if let Some(url) = given {
        (url, None)
    } else {
        let server = start_private(home)?;
        (server.url("postgres", "zeitwork", None).into(), Some(server))
    };
    let owner = Database::new(&owner_url, "zeitwork-up", &PoolSettings::patient())?;
    let applied = migrate::run(&owner).await.context("the database schema")?;
    if applied > 0 {
        tracing::info!(applied, "migrated the database schema");
    }
    let mut connection = owner.acquire().await?;
    installation::adopt(&mut connection, &home.installation).await?;
    Ok(Prepared { owner, owner_url, server })
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
    std::fs::create_dir_all(&root)?;
    let options = Options {
        data: root.join("data"),
        socket,
        durability: Durability::Full,
        connections: 200,
        die_with_parent: false,
        passwords: true,
    };
    Server::start(&Binaries::find()?, &options).context("the private PostgreSQL")
}
