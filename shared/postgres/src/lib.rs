//! A private PostgreSQL server: found, initialised, started as its own user, and stopped.
//!
//! No SQL and no connections here: `zeitwork up`, the tests and `xtask` start servers with it,
//! `zeitwork-database` speaks to them.
#![warn(missing_docs)]

mod binaries;
mod server;

pub use binaries::Binaries;
pub use server::{Durability, Options, SUPERUSER, Server};

/// Why a private server does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server programs.
    #[error(
        "no PostgreSQL server programs found (version 15 or newer): install the package `postgresql`, or set PG_BIN to the directory of `postgres`"
    )]
    NoBinaries,
    /// PostgreSQL refuses root and the user to run it as does not exist.
    #[error(
        "PostgreSQL refuses to run as root and there is no user `postgres`: install the package `postgresql`"
    )]
    NoUser,
    /// The data directory is of a version that is not installed.
    #[error(
        "{data} was made by PostgreSQL {version}, which is not installed: install the package `postgresql-{version}`, or restore a backup into a new state directory"
    )]
    OtherVersion {
        /// Which directory.
        data: std::path::PathBuf,
        /// The major version that made it.
        version: u32,
    },
    /// A file or directory.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program of the server could not be run.
    #[error("{program}: {source}")]
    Run {
        /// Which.
        program: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program of the server failed.
    #[error("{program} ended with {status}: {output}")]
    Failed {
        /// Which.
        program: std::path::PathBuf,
        /// How.
        status: std::process::ExitStatus,
        /// Its last words.
        output: String,
    },
    /// It did not accept connections in time.
    #[error("PostgreSQL did not become ready within {seconds} s: {output}")]
    NotReady {
        /// How long it was waited for.
        seconds: u64,
        /// The end of its log.
        output: String,
    },
}
