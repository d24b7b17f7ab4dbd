//! What to do, decided by pure functions: a borrowed view and the database's time in, a plan
//! value out.
//!
//! No database, clock, network or log here. Each planner has tables of cases; those where
//! a wrong step takes something away (rollout, placement, webhooks, builds) have properties too, and
//! the rollout has scenario texts in `scenarios/`.
#![warn(missing_docs)]

pub mod branches;
pub mod builds;
pub mod images;
pub mod nodes;
pub mod placement;
pub mod rollout;
pub mod routes;
pub mod webhooks;
