//! The route table: how it is looked up, followed, kept on disk, compared and reported.

pub mod compare;
pub mod disk;
pub mod host;
pub mod keep;
pub mod report;
pub mod standing;
pub mod sync;
pub mod table;
