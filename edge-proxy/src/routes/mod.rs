//! The route table: how it is looked up, kept and followed.

pub mod disk;
pub mod host;
pub mod sync;
pub mod table;
