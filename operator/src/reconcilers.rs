//! The loops: each reads one view, plans, and carries the plan out with compare-and-set.

pub(crate) mod builds;
mod commit_status;
mod heads;
mod images;
mod nodes;
mod retention;
mod rollouts;
mod routes;
mod sources;
#[cfg(test)]
mod testing;
mod webhooks;

pub use builds::Builds;
pub(crate) use builds::unavailable;
pub use commit_status::CommitStatus;
pub use heads::Heads;
pub use images::Images;
pub use nodes::Nodes;
pub use retention::Retention;
pub use rollouts::Rollouts;
pub use routes::Routes;
pub use sources::Sources;
pub use webhooks::Webhooks;
