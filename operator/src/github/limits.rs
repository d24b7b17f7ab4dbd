//! What GitHub asked for when there were too many calls: nobody calls before the time is over.
//!
//! <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api>

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::GithubError;

type Headers = http::HeaderMap;

/// "If the header is absent, wait at least one minute."
const UNNAMED: Duration = Duration::from_mins(1);
/// A reset further away than this is a mistake of some clock: the primary limit is hourly.
const LONGEST: Duration = Duration::from_secs(3_700);

/// Until when whose calls have to wait; the App's own are under none.
#[derive(Debug, Default)]
pub(super) struct Limits(Mutex<HashMap<Option<i64>, Instant>>);

impl Limits {
    /// Whether a call may be made now.
    pub(super) fn check(&self, caller: Option<i64>) -> Result<(), GithubError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        all.retain(|_, until| *until > now);
        match all.get(&caller) {
            Some(until) => Err(GithubError::Limited { after: *until - now }),
            None => Ok(()),
        }
    }

    /// Notes the limit that an answer tells of.
    pub(super) fn note(&self, caller: Option<i64>, after: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(caller, Instant::now() + after);
    }
}

/// How long an answer of 403 or 429 asks to wait; none where it is about something else.
pub(super) fn asked(status: u16, headers: &Headers, message: &str, now: i64) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    if status != 403 && status != 429 {
        return None;
    }
    let reset = number("x-ratelimit-reset").map(|at| at.saturating_sub(now.unsigned_abs()));
    let wait = match (number("retry-after"), number("x-ratelimit-remaining")) {
        (Some(seconds), _) => Duration::from_secs(seconds),
        (None, Some(0)) => reset.map_or(UNNAMED, Duration::from_secs),
        _ if status == 429 || message.contains("rate limit") => UNNAMED,
        _ => return None,
    };
    Some(wait.clamp(Duration::from_secs(1), LONGEST))
}
