//! The steps of the operator: each one compare-and-set, so that two operators at once, or one
//! that looks at an old view, do no harm. [`Error::Stale`] means: look again.

use crate::{Error, Result};

pub mod builds;
pub mod deployments;
pub mod instances;
pub mod nodes;
pub mod retention;
pub mod routes;
pub mod sources;

fn changed(what: &'static str, rows: u64) -> Result<()> {
    if rows == 0 { Err(Error::Stale(what)) } else { Ok(()) }
}
