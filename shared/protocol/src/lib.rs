//! What daemons hand each other through the database: a node's target, its report, and the
//! edge's route table. Plain values without I/O.
//!
//! Readers ignore fields that they do not know and refuse a document whose `minimum_reader` is
//! above [`READER`]; golden JSON in the tests keeps the wire format from changing by accident.
#![warn(missing_docs)]

pub mod edge;
pub mod report;
pub mod sealed;
pub mod target;

#[cfg(test)]
mod tests;

/// The newest version of the documents that this program writes.
pub const VERSION: u32 = 1;
/// The newest `minimum_reader` that this program can follow.
pub const READER: u32 = 1;
