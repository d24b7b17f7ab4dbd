//! A line of the file: a checksum, a space, JSON. A line that was not written whole has another
//! checksum than it says.

use std::io::{self, BufRead, Write};

use crc::{CRC_32_ISCSI, Crc, Table};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeitwork_model::generation::Position;
use zeitwork_model::route::Route;

static CHECKSUM: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);
/// Hexadecimal digits of a checksum.
const DIGITS: usize = 8;

/// The first line: what the table was when the file was written whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Version of the writer.
    pub version: u32,
    /// Oldest reader that can follow it.
    pub minimum_reader: u32,
    /// Where in the history.
    pub position: Position,
    /// So many lines with a host each follow.
    pub routes: usize,
}

/// A host and its route; none where it has none any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The host.
    pub host: String,
    /// Its route.
    pub route: Option<Route>,
}

/// What changed up to a position: one line, so that all of it counts or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The position that it leads to.
    pub position: Position,
    /// In the order in which it happened.
    pub changes: Vec<Entry>,
}

/// Appends one line.
///
/// # Errors
/// Those of the output.
pub fn write(output: &mut impl Write, record: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_vec(record)?;
    write!(output, "{:08x} ", CHECKSUM.checksum(&json))?;
    output.write_all(&json)?;
    output.write_all(b"\n")
}

/// Reads one line and its length in bytes; none at the end, and where it is not whole.
///
/// # Errors
/// Those of the input.
pub fn read<T: DeserializeOwned>(
    input: &mut impl BufRead,
    line: &mut Vec<u8>,
) -> io::Result<Option<(T, u64)>> {
    line.clear();
    let length = input.read_until(b'\n', line)?;
    Ok(content(line).and_then(|json| Some((serde_json::from_slice(json).ok()?, length as u64))))
}

fn content(line: &[u8]) -> Option<&[u8]> {
    let (digits, rest) = line.strip_suffix(b"\n")?.split_at_checked(DIGITS)?;
    let json = rest.strip_prefix(b" ")?;
    let said = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (said == CHECKSUM.checksum(json)).then_some(json)
}
