//! The App's key pair: made at the first start, kept, and written as GitHub hands it out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::private_file;

/// In a PKCS#8 envelope around a 2048-bit RSA key, where the PKCS#1 key begins: sequence (4),
/// version (3), algorithm (15) and the octet string's own head (4).
const PKCS1_OFFSET: usize = 26;

/// The App's key: its public half, and where the private one lies.
pub(crate) struct AppKey {
    /// PKCS#1 `RSAPublicKey`, DER.
    pub public: Vec<u8>,
    /// PKCS#1 PEM, mode 0600.
    pub private_path: PathBuf,
}

impl AppKey {
    /// Reads `<state>/app.pem`, or makes it.
    pub(crate) fn open(state: &Path) -> io::Result<Self> {
        let private_path = state.join("app.pem");
        let pair = if private_path.exists() {
            read(&private_path)?
        } else {
            let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| invalid("no new key"))?;
            private_file::write(&private_path, pem(&pair)?.as_bytes())?;
            pair
        };
        Ok(Self { public: pair.public_key().as_ref().to_vec(), private_path })
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn pem(pair: &KeyPair) -> io::Result<String> {
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| invalid("the key has no DER"))?;
    let pkcs1 = pkcs8.as_ref().get(PKCS1_OFFSET..).ok_or(invalid("the key is too short"))?;
    let text = STANDARD.encode(pkcs1);
    let mut lines = String::from("-----BEGIN RSA PRIVATE KEY-----\n");
    for line in text.as_bytes().chunks(64) {
        lines.push_str(&String::from_utf8_lossy(line));
        lines.push('\n');
    }
    lines.push_str("-----END RSA PRIVATE KEY-----\n");
    Ok(lines)
}

fn read(path: &Path) -> io::Result<KeyPair> {
    let text = fs::read_to_string(path)?;
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(body).map_err(|_| invalid("app.pem is no PEM file"))?;
    KeyPair::from_der(&der).map_err(|_| invalid("app.pem holds no RSA key"))
}
