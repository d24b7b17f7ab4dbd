//! The edge proxy: serves end users' traffic from a route table in memory.
//!
//! It never asks the database on the request path; the table is followed aside and kept on disk,
//! so it serves with everything else down. TLS and HTTP/2 are not here yet.
#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")
)]

use std::io;
use std::net::SocketAddr;

pub mod access_log;
mod admin;
pub mod answer;
pub mod config;
pub mod connection;
pub mod limits;
pub mod metrics;
pub mod request;
pub mod routes;
mod run;
pub mod server;
pub mod state;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod upstream;
pub mod wire;
pub mod worker;

pub use config::Config;
pub use run::{Parts, Running, run};

/// Why the edge does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address is in use, or not ours to bind.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system has no thread left.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// Health and metrics cannot be served.
    #[error("cannot serve health and metrics")]
    Admin(#[from] zeitwork_web::BindError),
    /// The state directory cannot be used.
    #[error("cannot use the state directory {path}")]
    State {
        /// Which.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The database's address cannot be used.
    #[error("cannot use the database's address")]
    Database(#[from] zeitwork_database::Error),
    /// A worker's runtime failed.
    #[error("a worker failed")]
    Worker(#[source] io::Error),
    /// A worker ended without being asked to.
    #[error("a worker ended unasked")]
    WorkerDied,
}
