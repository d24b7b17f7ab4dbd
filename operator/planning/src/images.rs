//! When a live deployment whose image no node has any more is built again.

use time::{Duration, OffsetDateTime};
use zeitwork_model::reason::{IMAGE_LOST, Reason};

#[cfg(test)]
mod tests;

/// A commit that could not be built so often stays unbuilt until somebody asks for it: its
/// repository or what it is made of may be gone for good.
pub const ATTEMPTS: u32 = 3;
/// Pause after the first failure; each further one is six times as long (10 minutes, 1 hour).
const FIRST_PAUSE: Duration = Duration::minutes(10);

/// A live deployment of which nothing serves and whose image no node has.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Another deployment of the environment is on its way.
    pub replacing: bool,
    /// A builder can work.
    pub has_builder: bool,
    /// Somebody cancelled the build.
    pub cancelled: bool,
    /// How often the build has failed.
    pub failures: u32,
    /// The last failure: when, and why.
    pub failed: Option<(OffsetDateTime, String)>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Wish for the same once more.
    Build,
    /// Nothing at the moment, and why.
    Wait(Reason),
}

/// Whether it is built again now.
#[must_use]
pub fn judge(view: &View, now: OffsetDateTime) -> Verdict {
    let wait = |why: &str| {
        Verdict::Wait(Reason::new(IMAGE_LOST, format!("No node that answers has its image; {why}")))
    };
    if view.replacing {
        return wait("another deployment is on its way.");
    }
    if view.cancelled {
        return wait("building it again was cancelled. Deploy it again.");
    }
    if let Some((at, why)) = &view.failed {
        let failed = format!("it could not be brought back: {}", why.trim_end_matches('.'));
        if view.failures >= ATTEMPTS {
            let count = view.failures;
            return wait(&format!("{failed} ({count} times). Mend that and deploy it again."));
        }
        if now < *at + FIRST_PAUSE * 6_i32.pow(view.failures.saturating_sub(1)) {
            return wait(&format!("{failed}. It is tried again later."));
        }
    }
    if view.has_builder {
        Verdict::Build
    } else {
        wait("it is built again as soon as a builder can work.")
    }
}
