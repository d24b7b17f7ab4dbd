//! The REST API: takes wishes. It verifies, authorises, stores and answers; it never does the
//! work itself and talks to nobody but the database.
#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")
)]

mod birth;
pub mod config;
mod document;
mod error;
mod extract;
mod handlers;
mod inbox;
mod input;
mod limits;
mod measure;
mod owner;
mod patience;
mod quota;
mod router;
mod source;
mod state;
mod streams;
mod vault;
mod views;

use std::net::SocketAddr;

use zeitwork_database::Database;
use zeitwork_runtime::Lifecycle;
use zeitwork_secrets::MasterKey;
use zeitwork_web::{BindError, Server};

pub use config::Config;
pub use document::openapi_json;

/// The outside world, as values.
#[derive(Debug)]
pub struct Parts {
    /// The pool, as the role `zeitwork_api`.
    pub database: Database,
    /// Wraps the projects' data keys.
    pub master_key: MasterKey,
}

/// Binds, then serves until the daemon stops. Returns the addresses that were really taken.
///
/// # Errors
/// An address that cannot be bound.
pub fn run(config: Config, parts: Parts, life: &Lifecycle) -> Result<Vec<SocketAddr>, BindError> {
    let server = Server::bind(&config.addresses)?;
    tracing::info!(addresses = ?server.addresses(), "listening");
    let app = state::App::new(config, parts, life);
    owner::ensure_in_background(&app, life);
    app.metrics.register(|registry| app.database.show(registry));
    streams::wake::listen(&app, life);
    Ok(server.serve(&router::router(&app), life))
}
