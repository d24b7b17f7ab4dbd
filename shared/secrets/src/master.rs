//! Envelope encryption: the master key wraps a data key for each project, the data key encrypts
//! the project's values. A stored ciphertext is bound to its table, row and name, so that it
//! cannot be moved to another place and read there.

use std::fmt;
use std::path::Path;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::key_file::{self, Key};

/// `XChaCha20`'s nonce is long enough to be drawn at random for each value.
const NONCE: usize = 24;

/// Where a ciphertext is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Table.
    pub table: &'a str,
    /// Key of the row, as text.
    pub row: &'a str,
    /// Column, or name of the value within the row.
    pub name: &'a str,
}

impl<'a> Place<'a> {
    /// A project's wrapped data key; both parts as text (`prj_…`, `1`).
    #[must_use]
    pub const fn project_key(project: &'a str, version: &'a str) -> Self {
        Self { table: "project_keys", row: project, name: version }
    }

    /// A variable's value; its id as text (`var_…`). Frozen sets keep ciphertexts as they are,
    /// so this is their place too.
    #[must_use]
    pub const fn variable(id: &'a str) -> Self {
        Self { table: "variables", row: id, name: "value" }
    }

    /// Each part with its length in front, so that no two places give the same bytes.
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [self.table, self.row, self.name] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// The installation's master key. Read by api and operator only.
pub struct MasterKey {
    key: Key,
    id: String,
}

impl MasterKey {
    /// The key in the file; made there (mode 0600) if there is none.
    ///
    /// # Errors
    /// The file cannot be read or made, is readable by others, or holds no key.
    pub fn load_or_create(path: &Path) -> Result<Self, Error> {
        Ok(Self::new(key_file::load_or_create(path)?))
    }

    /// The key in a file that must be there.
    ///
    /// # Errors
    /// As [`MasterKey::load_or_create`], and where there is no file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Ok(Self::new(key_file::load(path)?))
    }

    /// A key that lives only as long as the process, for tests.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(key_file::random())
    }

    fn new(key: Key) -> Self {
        let digest = Sha256::new().chain_update(b"zeitwork master key id 1").chain_update(*key);
        Self { id: hex::encode(&digest.finalize()[..8]), key }
    }

    /// Names the key beside what it wrapped; says nothing about it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Encrypts a data key for its place.
    ///
    /// # Errors
    /// None in practice; the cryptographic library may refuse.
    pub fn wrap(&self, data_key: &DataKey, place: Place<'_>) -> Result<Vec<u8>, Error> {
        encrypt(&self.key, data_key.0.as_slice(), place)
    }

    /// The data key that was wrapped for this place.
    ///
    /// # Errors
    /// [`Error::Unopenable`] for another master key or place, or an altered value.
    pub fn unwrap(&self, wrapped: &[u8], place: Place<'_>) -> Result<DataKey, Error> {
        let plain = decrypt(&self.key, wrapped, place)?;
        let mut key = Key::default();
        if plain.len() != key.len() {
            return Err(Error::Unopenable);
        }
        key.copy_from_slice(&plain);
        Ok(DataKey(key))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

/// A project's own key. Stored only wrapped.
pub struct DataKey(Key);

impl DataKey {
    /// A new random key.
    #[must_use]
    pub fn generate() -> Self {
        Self(key_file::random())
    }

    /// Encrypts a value for its place: nonce, then ciphertext with tag.
    ///
    /// # Errors
    /// None in practice; the cryptographic library may refuse.
    pub fn encrypt(&self, plaintext: &[u8], place: Place<'_>) -> Result<Vec<u8>, Error> {
        encrypt(&self.0, plaintext, place)
    }

    /// The value that was encrypted for this place.
    ///
    /// # Errors
    /// [`Error::Unopenable`] for another key or place, or an altered value.
    pub fn decrypt(
        &self,
        ciphertext: &[u8],
        place: Place<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        decrypt(&self.0, ciphertext, place)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(…)")
    }
}

fn encrypt(key: &Key, plaintext: &[u8], place: Place<'_>) -> Result<Vec<u8>, Error> {
    let mut nonce = [0u8; NONCE];
    rand::fill(&mut nonce);
    let aad = place.to_bytes();
    let cipher = XChaCha20Poly1305::new(key.as_slice().try_into().map_err(|_| Error::Unopenable)?);
    let ciphertext = cipher
        .encrypt(&XNonce::from(nonce), Payload { msg: plaintext, aad: &aad })
        .map_err(|_| Error::Unopenable)?;
    Ok([nonce.as_slice(), &ciphertext].concat())
}

fn decrypt(key: &Key, whole: &[u8], place: Place<'_>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (nonce, ciphertext) = whole.split_first_chunk::<NONCE>().ok_or(Error::Unopenable)?;
    let aad = place.to_bytes();
    let cipher = XChaCha20Poly1305::new(key.as_slice().try_into().map_err(|_| Error::Unopenable)?);
    cipher
        .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &aad })
        .map(Zeroizing::new)
        .map_err(|_| Error::Unopenable)
}
