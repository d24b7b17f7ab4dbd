//! Signatures of webhooks: `X-Hub-Signature-256: sha256=<64 lower-case hexadecimal characters>`,
//! an HMAC SHA-256 over the raw body, as GitHub sends it
//! (<https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>).
//! Deliberately strict: GitHub writes exactly one form, everything else is somebody else.

use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

/// The header that carries the signature.
pub const HEADER: &str = "x-hub-signature-256";
const SCHEME: &[u8] = b"sha256=";

/// The delivery is not signed by the holder of one of our secrets. Nothing says which rule was
/// broken: the sender who needs to know holds the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is missing, malformed or not made with this secret")]
pub struct InvalidSignature;

/// Checks a delivery against the secrets of today and, while one rotates, of yesterday. Takes
/// all values of the header: more than one is refused. An empty secret matches nothing.
///
/// # Errors
/// [`InvalidSignature`].
pub fn verify<'a>(
    secrets: &[SecretString],
    headers: impl IntoIterator<Item = &'a [u8]>,
    body: &[u8],
) -> Result<(), InvalidSignature> {
    let claimed = claimed(headers).ok_or(InvalidSignature)?;
    let mut valid = Choice::from(0);
    for secret in secrets.iter().filter(|secret| !secret.expose_secret().is_empty()) {
        valid |= sign(secret, body).as_slice().ct_eq(&claimed);
    }
    if bool::from(valid) { Ok(()) } else { Err(InvalidSignature) }
}

/// The value of the header for a body, as GitHub would send it.
#[must_use]
pub fn header_value(secret: &SecretString, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(sign(secret, body)))
}

fn sign(secret: &SecretString, body: &[u8]) -> [u8; 32] {
    // HMAC takes keys of any length; an error cannot happen, and zeros would match nothing that
    // anybody can make without the secret's hash anyway.
    Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .map(|mac| mac.chain_update(body).finalize().into_bytes().into())
        .unwrap_or_default()
}

fn claimed<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Option<[u8; 32]> {
    let mut headers = headers.into_iter();
    let text = headers.next()?.strip_prefix(SCHEME)?;
    if headers.next().is_some() || text.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut bytes = [0u8; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}
