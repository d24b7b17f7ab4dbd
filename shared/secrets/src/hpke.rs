//! Hybrid public key encryption, base mode, one message: RFC 9180 with DHKEM(X25519, HKDF-SHA256),
//! HKDF-SHA256 and ChaCha20-Poly1305. Only the single-shot forms of §6.1 are here.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, UnparsedPublicKey, X25519};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use zeroize::Zeroizing;

use crate::error::Error;

/// Length of the encapsulated key.
pub const ENCAPSULATED: usize = 32;
/// KEM 0x0020.
const KEM_SUITE: &[u8] = b"KEM\x00\x20";
/// KEM 0x0020, KDF 0x0001, AEAD 0x0003.
const HPKE_SUITE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x03";

type Secret = Zeroizing<[u8; 32]>;

/// `SealBase`: the encapsulated key, then the ciphertext.
pub fn seal(receiver: &[u8; 32], info: &[u8], aad: &[u8], text: &[u8]) -> Result<Vec<u8>, Error> {
    let ephemeral = agreement::PrivateKey::generate(&X25519).map_err(|_| Error::Agreement)?;
    let encapsulated = public_of(&ephemeral)?;
    let shared = shared_secret(&ephemeral, receiver, &encapsulated, receiver)?;
    let (key, nonce) = key_schedule(&shared, info)?;
    let mut data = text.to_vec();
    key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut data)
        .map_err(|_| Error::Unopenable)?;
    let mut whole = encapsulated.to_vec();
    whole.append(&mut data);
    Ok(whole)
}

/// `OpenBase`.
pub fn open(
    receiver: &agreement::PrivateKey,
    info: &[u8],
    aad: &[u8],
    whole: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (encapsulated, ciphertext) =
        whole.split_first_chunk::<ENCAPSULATED>().ok_or(Error::Unopenable)?;
    let ours = public_of(receiver)?;
    let shared = shared_secret(receiver, encapsulated, encapsulated, &ours)?;
    let (key, nonce) = key_schedule(&shared, info)?;
    let mut data = Zeroizing::new(ciphertext.to_vec());
    let length =
        key.open_in_place(nonce, Aad::from(aad), &mut data).map_err(|_| Error::Unopenable)?.len();
    data.truncate(length);
    Ok(data)
}

/// The raw public key.
pub fn public_of(key: &agreement::PrivateKey) -> Result<[u8; 32], Error> {
    let public = key.compute_public_key().map_err(|_| Error::Agreement)?;
    public.as_ref().try_into().map_err(|_| Error::Agreement)
}

/// `Encap` and `Decap` (§4.1) from the point where the Diffie-Hellman value is known.
fn shared_secret(
    mine: &agreement::PrivateKey,
    peer: &[u8; 32],
    encapsulated: &[u8; 32],
    receiver: &[u8; 32],
) -> Result<Secret, Error> {
    let context = [encapsulated.as_slice(), receiver.as_slice()].concat();
    agreement::agree(mine, UnparsedPublicKey::new(&X25519, peer), Error::Agreement, |dh| {
        let prk = labeled_extract(KEM_SUITE, &[], b"eae_prk", dh);
        Ok(labeled_expand(KEM_SUITE, &prk, b"shared_secret", &context, 32))
    })
}

/// `KeySchedule` (§5.1) in base mode: the key and the nonce of the first message.
fn key_schedule(shared: &Secret, info: &[u8]) -> Result<(LessSafeKey, Nonce), Error> {
    let psk_id = labeled_extract(HPKE_SUITE, &[], b"psk_id_hash", b"");
    let info = labeled_extract(HPKE_SUITE, &[], b"info_hash", info);
    let context = [&[0u8], psk_id.as_slice(), info.as_slice()].concat();
    let secret = labeled_extract(HPKE_SUITE, shared.as_slice(), b"secret", b"");
    let key = labeled_expand(HPKE_SUITE, &secret, b"key", &context, 32);
    let nonce = labeled_expand(HPKE_SUITE, &secret, b"base_nonce", &context, 12);
    let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_slice()).map_err(|_| Error::Agreement)?;
    let nonce = Nonce::try_assume_unique_for_key(&nonce[..12]).map_err(|_| Error::Agreement)?;
    Ok((LessSafeKey::new(key), nonce))
}

/// `LabeledExtract` (§4): HKDF-Extract is an HMAC keyed with the salt.
fn labeled_extract(suite: &[u8], salt: &[u8], label: &[u8], input: &[u8]) -> Secret {
    mac(salt, &[b"HPKE-v1", suite, label, input])
}

/// `LabeledExpand` (§4) for at most 32 bytes: one block of HKDF-Expand. A shorter output is the
/// beginning of the block; the length is part of what is hashed.
fn labeled_expand(suite: &[u8], prk: &Secret, label: &[u8], info: &[u8], length: u8) -> Secret {
    mac(prk.as_slice(), &[&[0, length], b"HPKE-v1", suite, label, info, &[1]])
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Secret {
    let mut context = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut out = Secret::default();
    out.copy_from_slice(context.sign().as_ref());
    out
}
