//! The words of the system: ids, states and the plain values that the parts exchange.
//!
//! No I/O, no clock and no randomness except in [`id`], where ids are made. Each status enum
//! carries its picture; deployments and builds one total function `after(event)` too. The database
//! repeats the rules: constraints, and `where status` in every step.
#![warn(missing_docs)]

pub mod build;
pub mod commit;
pub mod deployment;
pub mod environment;
pub mod generation;
pub mod id;
pub mod instance;
pub mod name;
pub mod network;
pub mod node;
pub mod page;
pub mod project;
pub mod reason;
pub mod route;
pub mod scope;
pub mod text_enum;
pub mod variable;
pub mod webhook;

#[cfg(test)]
mod tests;
