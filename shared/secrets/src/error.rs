//! What can go wrong with keys and ciphertexts.

use std::path::PathBuf;

/// Why a key or a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key file cannot be read or made.
    #[error("key file {path}")]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key file holds something else, or others can read it.
    #[error("key file {path} {rule}")]
    UnfitKeyFile {
        /// Which file.
        path: PathBuf,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// The text is no public key of ours.
    #[error("not a public key: 64 hexadecimal characters are expected")]
    NoPublicKey,
    /// The value was sealed for, or wrapped with, another key.
    #[error("made for key {wanted}, this is key {ours}")]
    OtherKey {
        /// The key that could open it.
        wanted: String,
        /// The key that was tried.
        ours: String,
    },
    /// Wrong key, wrong place, or altered: which one cannot be told.
    #[error("the ciphertext does not belong to this key and place, or was altered")]
    Unopenable,
    /// The key agreement refused its input.
    #[error("the key agreement refused its input")]
    Agreement,
}
