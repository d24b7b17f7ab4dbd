//! Read models of the operator: each read whole, in one transaction, for one planner.

pub mod builds;
pub mod commit_status;
pub mod heads;
pub mod images;
pub mod nodes;
pub mod placement;
pub mod rollouts;
pub mod sources;
