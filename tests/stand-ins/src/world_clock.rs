//! The clock and the tasks of the outside world.
//!
//! A stand-in plays somebody else's server: it shares neither the platform's clock nor its
//! life cycle, so both exceptions stand here and nowhere else in this crate.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What GitHub's clock shows.
#[allow(clippy::disallowed_methods, reason = "the outside world has a clock of its own")]
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// GitHub's writing of a time: whole seconds, `Z`.
pub(crate) fn text(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}

/// Starts a task of the outside world; it ends with its stand-in's runtime.
#[allow(clippy::disallowed_methods, reason = "no part of a daemon's life cycle")]
pub(crate) fn spawn<F>(task: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(task)
}
