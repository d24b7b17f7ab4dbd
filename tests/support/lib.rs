//! A whole platform for a story: the real processes, a real database, a real engine and the
//! stand-in for GitHub, driven as a user would.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a story that cannot go on has failed, and says where"
)]

pub mod cluster;
pub mod engine;
pub mod eventually;
pub mod failpoints;
pub mod http;
mod left;
pub mod load;
pub mod process;
pub mod sql;
pub mod up;
pub mod user;

pub use cluster::Cluster;
pub use eventually::eventually;
pub use up::Up;
