//! Sealing: a value that enters a table or a target can be opened by one receiver only, and only
//! in the place that it was made for.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use aws_lc_rs::agreement::{self, X25519};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use zeitwork_protocol::sealed::Sealed;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::{hpke, key_file};

/// Separates our use of HPKE from every other.
const INFO: &[u8] = b"zeitwork sealed value 1";

/// A receiver's public key; its text is 64 hexadecimal characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// First 16 hexadecimal characters of its SHA-256: what [`Sealed::key`] names.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(&Sha256::digest(self.0)[..8])
    }

    /// Seals a value so that only the owner of this key can open it, and only with the same
    /// context. The context names the place: the text of the instance's or build's id, say.
    ///
    /// # Errors
    /// [`Error::Agreement`] where this is no usable X25519 key.
    pub fn seal(&self, plaintext: &[u8], context: &str) -> Result<Sealed, Error> {
        let whole = hpke::seal(&self.0, INFO, context.as_bytes(), plaintext)?;
        Ok(Sealed { key: self.fingerprint(), data: STANDARD.encode(whole) })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl FromStr for PublicKey {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| Error::NoPublicKey)?;
        Ok(Self(bytes))
    }
}

/// A receiver's private key. It never leaves the host that made it.
pub struct PrivateKey {
    key: agreement::PrivateKey,
    public: PublicKey,
}

impl PrivateKey {
    /// The key in the file; made there (mode 0600) if there is none.
    ///
    /// # Errors
    /// The file cannot be read or made, is readable by others, or holds no key.
    pub fn load_or_create(path: &Path) -> Result<Self, Error> {
        let key = key_file::load_or_create(path)?;
        Self::from_bytes(&key)
    }

    /// A key that lives only as long as the process.
    ///
    /// # Errors
    /// None in practice; the cryptographic library may refuse.
    pub fn generate() -> Result<Self, Error> {
        Self::from_bytes(&key_file::random())
    }

    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Result<Self, Error> {
        let key = agreement::PrivateKey::from_private_key(&X25519, bytes)
            .map_err(|_| Error::Agreement)?;
        let public = PublicKey(hpke::public_of(&key)?);
        Ok(Self { key, public })
    }

    /// Its public half.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// Opens a value that was sealed to this key for the same context.
    ///
    /// # Errors
    /// [`Error::OtherKey`] where it was sealed to another key, [`Error::Unopenable`] where the
    /// context differs or the value was altered.
    pub fn open(&self, sealed: &Sealed, context: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        let ours = self.public.fingerprint();
        if sealed.key != ours {
            return Err(Error::OtherKey { wanted: sealed.key.clone(), ours });
        }
        let whole = STANDARD.decode(&sealed.data).map_err(|_| Error::Unopenable)?;
        hpke::open(&self.key, INFO, context.as_bytes(), &whole)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.public.fingerprint())
    }
}
