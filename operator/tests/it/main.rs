//! The operator against a real database; node and edge are played through the tables that the
//! real ones use.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

mod agent;
mod builds;
mod edge;
mod images;
mod lasting;
mod lasting_states;
mod nodes;
mod reports;
mod retention;
mod rollouts;
mod world;
