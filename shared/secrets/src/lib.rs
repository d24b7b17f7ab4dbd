//! Secrets at rest and on their way: envelope encryption under the master key, sealing to one
//! receiver's public key, and redaction of what must not appear in a log.
//!
//! It does no network and no database; the only files that it touches are key files.
#![warn(missing_docs)]

mod error;
mod hpke;
mod key_file;
pub mod master;
pub mod redact;
pub mod seal;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use master::{DataKey, MasterKey, Place};
pub use redact::Redactor;
pub use seal::{PrivateKey, PublicKey};
