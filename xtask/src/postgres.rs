//! A private PostgreSQL for one run, with the migrations applied by `psql`.
//!
//! Not by the product's own migrator: the gate must work while that does not compile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;
use zeitwork_postgres::{Binaries, Durability, Options, Server};

use crate::command;

const STOP_LIMIT: Duration = Duration::from_secs(5);
const DATABASE: &str = "postgres";
const USER: &str = "zeitwork";

/// A running server; dropping it stops the server and removes its directory.
pub struct Postgres {
    server: Option<Server>,
    binaries: Binaries,
    directory: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts its server.
    pub fn start() -> anyhow::Result<Self> {
        let binaries = Binaries::find()?;
        let directory = tempfile::Builder::new().prefix("zw-sqlx-").tempdir()?;
        let options = Options {
            data: directory.path().join("data"),
            socket: directory.path().to_path_buf(),
            durability: Durability::None,
            connections: 20,
            die_with_parent: true,
            passwords: false,
        };
        let server = Some(Server::start(&binaries, &options)?);
        Ok(Self { server, binaries, directory })
    }

    /// The form that sqlx reads.
    pub fn url(&self) -> String {
        self.server.as_ref().map(|server| server.url(DATABASE, USER, None)).unwrap_or_default()
    }

    /// Runs the statements of a file in one transaction, unless its first line forbids that.
    pub fn apply(&self, migration: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(migration)?;
        let mut psql = self.binaries.command("psql", false);
        psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname"]);
        psql.arg(self.url());
        if !text.starts_with("-- no-transaction") {
            psql.arg("--single-transaction");
        }
        // Its user may be another one, who cannot read our files: the text goes through a copy.
        let copy: PathBuf = self.directory.path().join("migration.sql");
        std::fs::write(&copy, text)?;
        command::output_of(psql.arg("--file").arg(&copy))
            .with_context(|| migration.display().to_string())?;
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(STOP_LIMIT);
        }
    }
}
