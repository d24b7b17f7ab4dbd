//! Who somebody is and what they may do, as pure functions: API keys, permissions, and the
//! signatures of webhooks. Rows, clocks and sockets are the caller's business.
#![warn(missing_docs)]

pub mod api_key;
pub mod permission;
pub mod signature;

#[cfg(test)]
mod tests;

pub use api_key::ApiKey;
pub use permission::{Action, allows};
