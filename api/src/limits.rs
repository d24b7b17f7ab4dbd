//! Slows down whoever tries keys: an address that has shown too many wrong ones in a minute is
//! refused for the rest of it, before anything is looked up.
//!
//! In the memory of this process, and bounded: it protects the database and the logs, while the
//! keys' 256 bits protect the keys. A key that was valid here before is looked up all the same,
//! so that nobody is locked out by a neighbour behind the same address.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use zeitwork_web::{Code, Problem, Quota};

use crate::error::Refusal;

#[cfg(test)]
mod tests;

/// Wrong keys of an address in a minute; a person who mistypes needs fewer.
const WRONG_MAXIMUM: u32 = 20;
const WINDOW: Duration = Duration::from_mins(1);
const QUOTA: Quota = Quota { name: "wrong-keys", count: WRONG_MAXIMUM, window: WINDOW };
/// More addresses or keys than this are forgotten: memory is bounded whatever comes.
const KNOWN_MAXIMUM: usize = 10_000;

/// What is known about callers.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    wrong: HashMap<IpAddr, Wrong>,
    /// Hashes of keys that were valid.
    valid: HashSet<[u8; 32]>,
}

#[derive(Debug)]
struct Wrong {
    count: u32,
    since: Instant,
}

impl Attempts {
    /// Whether a key (its hash) may be looked up now.
    ///
    /// # Errors
    /// 429 `rate_limited` with the rest of the minute.
    pub fn check(&self, address: Option<IpAddr>, key: &[u8; 32]) -> Result<(), Refusal> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(wrong) = address.and_then(|address| known.wrong.get(&network_of(address))) else {
            return Ok(());
        };
        let left = WINDOW.saturating_sub(wrong.since.elapsed());
        if wrong.count < WRONG_MAXIMUM || left.is_zero() || known.valid.contains(key) {
            return Ok(());
        }
        let text = "This address has sent too many wrong keys: wait as long as Retry-After says.";
        Err(Problem::new(Code::RateLimited).detail(text).used_up(QUOTA, left).into())
    }

    /// Notes what became of a key.
    pub fn note(&self, address: Option<IpAddr>, key: &[u8; 32], is_valid: bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_valid {
            if known.valid.len() >= KNOWN_MAXIMUM {
                known.valid.clear();
            }
            known.valid.insert(*key);
            return;
        }
        let Some(address) = address.map(network_of) else { return };
        if known.wrong.len() >= KNOWN_MAXIMUM {
            known.wrong.retain(|_, wrong| wrong.since.elapsed() < WINDOW);
        }
        if known.wrong.len() >= KNOWN_MAXIMUM && !known.wrong.contains_key(&address) {
            return;
        }
        let wrong = known.wrong.entry(address).or_insert_with(Wrong::new);
        if wrong.since.elapsed() >= WINDOW {
            *wrong = Wrong::new();
        }
        wrong.count = wrong.count.saturating_add(1);
    }
}

impl Wrong {
    fn new() -> Self {
        Self { count: 0, since: Instant::now() }
    }
}

/// Of IPv6 the /64 that one subscriber has.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}
