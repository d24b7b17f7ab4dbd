//! The schema's promises, on a real server.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its world breaks")]

mod feed;
mod grants;
mod images;
mod migrations;
mod node_channel;
mod owner;
mod plans;
mod restore;
mod roles;
mod routes;
mod standing_still;
mod transitions;
