//! The node agent against a real Docker Engine and real git servers. Each test of instances is an
//! installation of its own and leaves nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod build;
mod daemon;
mod faults;
mod figures;
mod instances;
mod isolation;
mod logs;
mod space;
mod support;
