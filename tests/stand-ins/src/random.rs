//! Random secrets and delivery ids.

use aws_lc_rs::rand;

/// `N` bytes from the system's generator.
///
/// An error, never zeros: a secret that can be guessed would be worse than none.
pub(crate) fn bytes<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0u8; N];
    rand::fill(&mut bytes).map_err(|_| std::io::Error::other("no random bytes"))?;
    Ok(bytes)
}

/// Twice as many hexadecimal digits as `N`.
pub(crate) fn hex<const N: usize>() -> std::io::Result<String> {
    Ok(hex::encode(bytes::<N>()?))
}

/// A delivery's GUID: a version 4 UUID in the usual writing.
pub(crate) fn guid() -> std::io::Result<String> {
    let mut b = bytes::<16>()?;
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let h = hex::encode(b);
    Ok(format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..]))
}
