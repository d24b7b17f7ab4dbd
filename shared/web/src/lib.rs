//! What every daemon serves: one error format, request ids, health, metrics, and a server that
//! drains. It knows no resource of the product and reads no settings.
//!
//! ```no_run
//! # async fn run(life: zeitwork_runtime::Lifecycle) -> Result<(), zeitwork_web::BindError> {
//! let (health, metrics) = (zeitwork_web::Health::new(), zeitwork_web::Metrics::new());
//! let router = axum::Router::new().merge(zeitwork_web::system_routes(health, metrics));
//! let server = zeitwork_web::Server::bind(&["127.0.0.1:7070".parse().unwrap()])?;
//! tracing::info!(addresses = ?server.addresses(), "listening");
//! let addresses = server.serve(&zeitwork_web::standard(router, zeitwork_web::Limits::default()), &life);
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")
)]

pub mod client;
pub mod health;
pub mod metrics;
pub mod problem;
pub mod request;
pub mod server;
mod system;

pub use client::client_address;
pub use health::{CheckOutcome, Health};
pub use metrics::Metrics;
pub use problem::{Code, FieldError, Problem, Quota};
pub use request::{CurrentRequest, Limits, standard};
pub use server::{BindError, LocalAddress, PeerAddress, Server, ServerSettings};
pub use system::{DetailAccess, serve_system, system_routes, system_routes_for};
