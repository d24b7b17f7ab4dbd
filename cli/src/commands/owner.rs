//! `zeitwork owner`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use secrecy::SecretString;
use serde_json::json;
use zeitwork_auth::api_key::ApiKey;
use zeitwork_database::owner::{self, Ensured};
use zeitwork_database::{Database, PoolSettings};
use zeitwork_postgres::Server;

use crate::session::Session;
use crate::supervise::home::{Account, write_secret};

/// What to do about the owner.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a new owner's key, write it to <state>/owner.key and revoke the old one.
    Reset,
}

/// Runs the verb.
pub async fn run(verb: &Verb, session: &Session) -> Result<()> {
    match verb {
        Verb::Reset => reset(session).await,
    }
}

/// Whoever can reach the database as its owner may become the platform's owner: a lost key is
/// never the end.
async fn reset(session: &Session) -> Result<()> {
    if session.settings().is_set("ZEITWORK_OWNER_KEY") {
        bail!(
            "the owner's key is given by ZEITWORK_OWNER_KEY: change it there and start \
             `zeitwork up` again"
        );
    }
    let state = session.state();
    if !state.is_dir() {
        bail!(
            "{} does not exist: set ZEITWORK_STATE_DIR to that of `zeitwork up`",
            state.display()
        );
    }
    let url = database_url(session)?.with_context(|| {
        format!(
            "no database: start `zeitwork up` with ZEITWORK_STATE_DIR={} first, or set \
             ZEITWORK_DATABASE_URL",
            state.display()
        )
    })?;
    let database = Database::new(&url, "zeitwork-owner", &PoolSettings::default())?;
    let key = ApiKey::generate();
    let file = state.join("owner.key");
    let mut transaction = database.begin().await.context("the database")?;
    let ensured = owner::ensure(&mut transaction, key.prefix(), &key.hash()).await?;
    if ensured != Ensured::Holds {
        bail!("a key of the same beginning is known already: run this once more");
    }
    // The files first: a key that nobody has is worse than one that does not work yet.
    leave(&key, &state, &file)?;
    transaction.commit().await.context("the database")?;
    session.output.either(&json!({"key": file, "prefix": key.prefix()}), |output| {
        output.line(&format!("key      {}", file.display()));
        output.step("the old owner's key is revoked");
    })
}

/// Writes the key for the person, and for the api of `zeitwork up`, which makes sure of the key
/// that it was given whenever it starts.
fn leave(key: &ApiKey, state: &Path, file: &Path) -> Result<()> {
    let secret = SecretString::from(key.expose().to_owned());
    for root in roots(state) {
        let api = root.join("api");
        if api.join("owner.key").exists() {
            write_secret(&api.join("owner.key"), &secret, owner_of(&api)?)?;
        }
    }
    write_secret(file, &secret, owner_of(state)?)
}

/// Where daemons may have their directories.
fn roots(state: &Path) -> [PathBuf; 2] {
    [state.join("home"), state.to_owned()]
}

/// Whoever owns the directory shall own what is written there, also where root does it.
fn owner_of(directory: &Path) -> Result<Account> {
    let owner = directory.metadata().with_context(|| directory.display().to_string())?.uid();
    let ours = owner == nix::unistd::Uid::effective().as_raw();
    Ok(if ours { Account::Own } else { Account::Unprivileged(owner) })
}

/// The database that is set, else the private one where it runs.
pub fn database_url(session: &Session) -> Result<Option<SecretString>> {
    if let Some(url) = session.secret("ZEITWORK_DATABASE_URL")? {
        return Ok(Some(url));
    }
    let running = roots(&session.state())
        .iter()
        .find_map(|root| Server::running_on(&root.join("postgres/data")));
    Ok(running.map(|server| server.url("postgres", zeitwork_postgres::SUPERUSER, None).into()))
}
