//! The only way out: HTTP to other servers, with time-outs, a retry budget, trace context, and a
//! guard against requests into private networks.
//!
//! What a user can influence (a git URL, a hook, a health URL) goes through a client with a
//! [`Guard`]; what the operator configured (GitHub's API) may go without.
#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")
)]

pub mod client;
pub mod guard;

pub use client::{Client, ClientBuilder, IDEMPOTENCY_KEY, OutboundError};
pub use guard::{CheckedTarget, Guard, GuardError, HostPort};
/// The HTTP library's types, so that callers need no dependency of their own.
pub use reqwest;

/// Makes aws-lc-rs the process's one cryptography provider. First line of every `main` and of
/// tests that open TLS; later calls do nothing.
pub fn install_crypto_provider() {
    // The error only says that one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
