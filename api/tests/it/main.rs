//! The api over a real socket, on a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

mod deployments;
mod every_endpoint;
mod hostile;
mod inbox;
mod installations;
mod keys;
mod projects;
mod quotas;
mod repeats;
mod running;
mod stock;
mod streams;
mod support;
mod system;
mod webhooks;
