//! The one truth: PostgreSQL. The only crate with SQL.
//!
//! One file for each table, with free functions that take `&mut PgConnection` first so that
//! they compose in a transaction; `views` holds one read model for each planner. No decisions
//! here: what to write is decided by callers, whether it still may be is decided by the
//! `where status = $from` of each statement and by the constraints.

#![warn(missing_docs)]

pub mod api_keys;
pub mod audit_events;
pub mod builds;
pub mod deployments;
pub mod domains;
pub mod edges;
pub mod environments;
pub mod error;
pub mod events;
pub mod figures;
pub mod github_installations;
pub mod idempotency;
pub mod images;
pub mod installation;
pub mod instances;
pub mod join;
pub mod listen;
pub mod log_chunks;
pub mod login;
pub mod migrate;
pub mod node_logs;
pub mod node_reports;
pub mod node_targets;
pub mod nodes;
pub mod organisations;
pub mod owner;
pub mod pool;
pub mod projects;
pub mod reconciler_reports;
pub mod restore;
pub mod routes;
pub mod steps;
pub mod system;
#[cfg(feature = "testing")]
pub mod testing;
pub mod variable_sets;
pub mod variables;
pub mod views;
pub mod webhook_deliveries;
pub mod webhook_queue;
pub mod wishes;

pub use error::Error;
pub use pool::{Connection, Database, PoolSettings, Transaction};
pub use sqlx::PgConnection;

/// What a statement of this crate answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;
