//! The edge as a program: started, killed, started again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

mod kill;
mod program;
