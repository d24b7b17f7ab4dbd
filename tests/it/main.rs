//! Stories and faults on the whole platform; each test has a platform of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod faults;
mod stories;
