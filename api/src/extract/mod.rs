//! What handlers are given: who calls, valid input, pages, ids.

pub mod caller;
pub mod idempotency;
pub mod named;
pub mod page;
pub mod valid;

pub use caller::{Caller, Who, can};
pub use named::Id;
pub use page::PageQuery;
pub use valid::{Valid, ValidQuery};
