//! API keys: `zwk_<prefix>_<secret>`. The prefix of 8 characters names the key in lists and finds
//! its row; the secret is at least 32 random bytes in base64url. Only a SHA-256 of the whole text
//! is stored: the secret is random, so there is nothing to guess and nothing to stretch.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What every key begins with, so that scanners of repositories recognise it.
pub const MARK: &str = "zwk_";
const PREFIX_LENGTH: usize = 8;
const SECRET_BYTES: usize = 32;
/// 64 bytes; a longer text is no key of ours and is not worth hashing.
const LONGEST_SECRET: usize = 86;
/// 32 random bytes have about 30 different values; fewer than 16 happen once in 10^17 keys, but
/// always in keys made by repeating or counting a little.
const FEWEST_DIFFERENT_BYTES: usize = 16;
/// Crockford's base 32: 40 bits in 8 characters.
const PREFIX_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Not of the form.
    #[error("an API key has the form zwk_<8 characters a-z0-9>_<43 or more of A-Za-z0-9_->")]
    Form,
    /// Of the form, but not random.
    #[error("the secret of the API key is too regular: use at least 32 random bytes")]
    Weak,
}

/// A key in the hands of its owner. `Debug` shows the prefix alone.
#[derive(Clone)]
pub struct ApiKey {
    text: SecretString,
}

impl ApiKey {
    /// A new key.
    #[must_use]
    pub fn generate() -> Self {
        let mut random = [0u8; PREFIX_LENGTH];
        rand::fill(&mut random);
        let prefix: String =
            random.iter().map(|b| char::from(PREFIX_ALPHABET[usize::from(b & 31)])).collect();
        let mut secret = [0u8; SECRET_BYTES];
        rand::fill(&mut secret);
        Self { text: format!("{MARK}{prefix}_{}", URL_SAFE_NO_PAD.encode(secret)).into() }
    }

    /// Reads a key as a caller sent it.
    ///
    /// # Errors
    /// [`InvalidKey::Form`].
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        split(text).ok_or(InvalidKey::Form)?;
        Ok(Self { text: text.to_owned().into() })
    }

    /// Reads a key that an operator made up (`ZEITWORK_OWNER_KEY`): it must also be random.
    ///
    /// # Errors
    /// [`InvalidKey::Form`] or [`InvalidKey::Weak`].
    pub fn parse_given(text: &str) -> Result<Self, InvalidKey> {
        let (_, secret) = split(text).ok_or(InvalidKey::Form)?;
        let mut seen = [false; 256];
        for &byte in &secret {
            seen[usize::from(byte)] = true;
        }
        if seen.iter().filter(|&&seen| seen).count() < FEWEST_DIFFERENT_BYTES {
            return Err(InvalidKey::Weak);
        }
        Self::parse(text)
    }

    /// The public part: 8 characters.
    #[must_use]
    pub fn prefix(&self) -> &str {
        let start = MARK.len();
        &self.text.expose_secret()[start..start + PREFIX_LENGTH]
    }

    /// The whole key, to be shown once.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.text.expose_secret()).into()
    }

    /// Whether the stored hash is that of this key, in a time that does not depend on where they
    /// differ.
    #[must_use]
    pub fn matches(&self, stored: &[u8]) -> bool {
        self.hash().as_slice().ct_eq(stored).into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({MARK}{}_…)", self.prefix())
    }
}

/// The prefix and the bytes of the secret.
fn split(text: &str) -> Option<(&str, Vec<u8>)> {
    let rest = text.strip_prefix(MARK)?;
    let (prefix, secret) = rest.split_at_checked(PREFIX_LENGTH)?;
    let secret = secret.strip_prefix('_')?;
    let legal = prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !legal || secret.len() > LONGEST_SECRET {
        return None;
    }
    let secret = URL_SAFE_NO_PAD.decode(secret).ok()?;
    (secret.len() >= SECRET_BYTES).then_some((prefix, secret))
}
