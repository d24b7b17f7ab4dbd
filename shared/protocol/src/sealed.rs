//! Values that only one receiver can open.

use serde::{Deserialize, Serialize};

/// A value sealed to a receiver's public key; how is the business of `zeitwork-secrets`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Which public key of the receiver (first 16 hexadecimal characters of its SHA-256).
    pub key: String,
    /// Base 64 (RFC 4648 §4) of the encapsulated key and the ciphertext.
    pub data: String,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({}, {} characters)", self.key, self.data.len())
    }
}
