//! Choice of an instance: of two random ones the less loaded.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use super::Upstream;

/// A worker's own random numbers (xorshift64*): for choices, not for secrets.
#[derive(Debug)]
pub struct Random(Cell<u64>);

impl Default for Random {
    fn default() -> Self {
        let seed = std::collections::hash_map::RandomState::new().build_hasher().finish();
        Self(Cell::new(seed | 1))
    }
}

impl Random {
    /// The next number.
    pub fn next(&self) -> u64 {
        let mut x = self.0.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % bound.max(1)
    }
}

/// One of the upstreams, by preference neither tried nor ejected; never none where there is one
/// that was not tried.
#[must_use]
pub fn choose<'a>(
    upstreams: &'a [Arc<Upstream>],
    tried: &[u64],
    random: &Random,
) -> Option<&'a Arc<Upstream>> {
    let fresh = |upstream: &Arc<Upstream>| !tried.contains(&upstream.serial);
    pick(upstreams, |upstream| fresh(upstream) && !upstream.health.is_ejected(), random)
        .or_else(|| pick(upstreams, fresh, random))
}

fn pick<'a>(
    upstreams: &'a [Arc<Upstream>],
    fits: impl Fn(&Arc<Upstream>) -> bool,
    random: &Random,
) -> Option<&'a Arc<Upstream>> {
    let count = upstreams.iter().filter(|upstream| fits(upstream)).count();
    let nth = |n: usize| upstreams.iter().filter(|upstream| fits(upstream)).nth(n);
    match count {
        0 => None,
        1 => nth(0),
        _ => {
            let first = random.below(count);
            let second = (first + 1 + random.below(count - 1)) % count;
            let (one, other) = (nth(first)?, nth(second)?);
            Some(if other.in_flight() < one.in_flight() { other } else { one })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Flight;

    fn upstreams(count: u16) -> Vec<Arc<Upstream>> {
        (1..=count).map(|port| Arc::new(Upstream::fixed(([127, 0, 0, 1], port).into()))).collect()
    }

    #[test]
    fn the_less_loaded_of_two_is_chosen() {
        let upstreams = upstreams(2);
        let _busy = Flight::begin(upstreams[0].clone());
        let random = Random::default();
        for _ in 0..50 {
            assert_eq!(choose(&upstreams, &[], &random).unwrap().serial, upstreams[1].serial);
        }
    }

    #[test]
    fn the_ejected_are_skipped_but_never_all() {
        let upstreams = upstreams(2);
        let random = Random::default();
        upstreams[0].health.failed();
        for _ in 0..50 {
            assert_eq!(choose(&upstreams, &[], &random).unwrap().serial, upstreams[1].serial);
        }
        upstreams[1].health.failed();
        assert!(choose(&upstreams, &[], &random).is_some());
        let tried = [upstreams[0].serial, upstreams[1].serial];
        assert!(choose(&upstreams, &tried, &random).is_none());
        upstreams[1].health.answered();
        assert!(!upstreams[1].health.is_ejected());
    }

    #[test]
    fn each_is_chosen_at_times() {
        let upstreams = upstreams(5);
        let random = Random::default();
        let seen: std::collections::HashSet<u64> =
            (0..500).map(|_| choose(&upstreams, &[], &random).unwrap().serial).collect();
        assert_eq!(seen.len(), 5);
    }
}
