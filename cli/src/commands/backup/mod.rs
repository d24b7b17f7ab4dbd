//! `zeitwork backup`: everything that cannot be made again, in one directory, and back.

mod archive;
mod database;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::json;

use self::archive::{Archive, Manifest};
use crate::session::Session;
use crate::supervise::home::{Account, Home, write_installation, write_secret};

/// What to do with backups.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write database and keys into a new directory, also while the platform runs.
    Create {
        /// The directory; it holds every key, so keep it as safe as the platform.
        directory: PathBuf,
    },
    /// Restore a backup into a database of its own for a moment, and check that its keys open it.
    Verify {
        /// A directory that `create` wrote.
        directory: PathBuf,
    },
    /// Put a backup into an empty state directory; then start `zeitwork up`.
    Restore {
        /// A directory that `create` wrote.
        directory: PathBuf,
    },
}

/// Runs the verb.
pub async fn run(verb: &Verb, session: &Session) -> Result<()> {
    match verb {
        Verb::Create { directory } => create(directory, session).await,
        Verb::Verify { directory } => verify(directory, session).await,
        Verb::Restore { directory } => restore(directory, session).await,
    }
}

/// Where the keys of the platform on this host stand.
struct Keys {
    master: PathBuf,
    node: PathBuf,
    owner: PathBuf,
}

impl Keys {
    fn of(session: &Session, home: &Home) -> Self {
        let or = |name, path: PathBuf| session.settings().raw(name).map_or(path, PathBuf::from);
        Self {
            master: or("ZEITWORK_MASTER_KEY_FILE", home.state.join("master.key")),
            node: or("ZEITWORK_NODE_KEY_FILE", home.root.join("node/node.key")),
            owner: home.state.join("owner.key"),
        }
    }

    /// With the name of each in a backup. The owner's key may be given by a setting instead.
    fn named(&self) -> [(&'static str, &Path, bool); 3] {
        [
            (archive::MASTER_KEY, self.master.as_path(), true),
            (archive::NODE_KEY, self.node.as_path(), false),
            (archive::OWNER_KEY, self.owner.as_path(), false),
        ]
    }
}

async fn create(directory: &Path, session: &Session) -> Result<()> {
    let state = session.state();
    if !state.join("installation").exists() {
        bail!(
            "{} holds no platform: set ZEITWORK_STATE_DIR to that of `zeitwork up`",
            state.display()
        );
    }
    let home = Home::prepare(&state)?;
    let draft = archive::Draft::begin(directory)?;
    for (name, path, required) in Keys::of(session, &home).named() {
        if required || path.exists() {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            draft.write_key(name, &text.into())?;
        }
    }
    let source = database::Source::open(session, &home).await?;
    session.output.step("database");
    let dumped = source.dump(&draft.path(archive::DATABASE)).await;
    let manifest = match dumped {
        Ok(migrations) => draft.finish(&home.installation, migrations),
        Err(error) => Err(error),
    };
    source.close().await;
    let manifest = manifest?;
    session.output.either(&json!({"directory": directory, "manifest": manifest}), |output| {
        output.line(&format!("backup   {}", directory.display()));
        output.step("keep it as safe as the platform itself: it holds every key");
    })
}

async fn verify(directory: &Path, session: &Session) -> Result<()> {
    let archive = Archive::open(directory)?;
    session.output.step("restoring it into a database of its own");
    let found = database::try_out(&archive).await?;
    let manifest = &archive.manifest;
    session.output.either(&json!({"manifest": manifest, "projects": found.projects}), |output| {
        output.line(&format!(
            "{} is whole: installation {}, made {}, {} projects",
            directory.display(),
            manifest.installation,
            manifest.made_at,
            found.projects
        ));
    })
}

async fn restore(directory: &Path, session: &Session) -> Result<()> {
    let archive = Archive::open(directory)?;
    let state = session.state();
    refuse_used(&state)?;
    let home = prepare_home(&state, &archive.manifest)?;
    let _lock = crate::supervise::lock(&home)?;
    home.directory("node", Account::Own)?;
    let keys = Keys::of(session, &home);
    for (name, path, _) in keys.named() {
        let Some(key) = archive.key(name)? else { continue };
        // A key file that a setting names may be there already, and must then be the same.
        match std::fs::read_to_string(path) {
            Ok(there) if there.trim() == archive::text_of(&key) => {}
            Ok(_) => bail!("{} holds another key than the backup: move it away", path.display()),
            Err(_) => write_secret(path, &key, Account::Own)?,
        }
    }
    session.output.step("database");
    let target = database::Source::open_empty(session, &home).await?;
    let restored = target.restore(&archive).await;
    target.close().await;
    let epoch = restored?;
    let result = json!({"installation": home.installation, "epoch": epoch});
    session.output.either(&result, |output| {
        output.line(&format!("restored {} (epoch {epoch})", home.installation));
        output.step("start `zeitwork up` with the settings of before");
    })
}

/// Nothing that exists is ever overwritten.
fn refuse_used(state: &Path) -> Result<()> {
    for name in ["installation", "master.key", "postgres", "home"] {
        if state.join(name).exists() {
            bail!(
                "{} holds a platform already ({name}): move it away, or set ZEITWORK_STATE_DIR",
                state.display()
            );
        }
    }
    Ok(())
}

/// The state directory of the same installation: its containers and images are known by its id.
fn prepare_home(state: &Path, manifest: &Manifest) -> Result<Home> {
    std::fs::create_dir_all(state).with_context(|| state.display().to_string())?;
    write_installation(state, &manifest.installation)?;
    Home::prepare(state)
}
