//! How a daemon lives: its settings, its clock, its logs and traces, its start and stop, and the
//! loop that every reconciler runs in, and the places at which a test can end it. No HTTP and no
//! database.
#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")
)]

pub mod backoff;
pub mod clock;
pub mod config;
pub mod failpoint;
pub mod lifecycle;
pub mod reconciler;
pub mod telemetry;

pub use backoff::Backoff;
pub use clock::Clock;
pub use config::{Common, ConfigError, Settings};
pub use failpoint::effect;
pub use lifecycle::Lifecycle;
pub use reconciler::{PassReport, Reconciler, Reconcilers, Schedule, Wake};
