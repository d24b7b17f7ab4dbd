//! When to ask the outside world about something again, in the memory of one reconciler: after a
//! restart everything is asked once more, which is harmless.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;
use zeitwork_runtime::Backoff;

const FIRST: Duration = Duration::from_secs(1);

/// Waits by key. A key whose `version` changed is due at once.
#[derive(Debug)]
pub(crate) struct Waits<K, V> {
    cap: Duration,
    waits: HashMap<K, Wait<V>>,
}

#[derive(Debug)]
struct Wait<V> {
    version: V,
    backoff: Backoff,
    until: Instant,
}

impl<K: Hash + Eq + Copy, V: PartialEq> Waits<K, V> {
    /// Nothing waits; nothing will wait longer than `cap` unless it is asked to.
    pub(crate) fn new(cap: Duration) -> Self {
        Self { cap, waits: HashMap::new() }
    }

    pub(crate) fn is_due(&self, key: K, version: &V) -> bool {
        let wait = self.waits.get(&key);
        wait.is_none_or(|wait| wait.version != *version || wait.until <= Instant::now())
    }

    /// Waits longer than the last time, and at least as long as was asked for.
    pub(crate) fn put_off(&mut self, key: K, version: V, asked: Option<Duration>) {
        let cap = self.cap;
        let mut backoff = match self.waits.remove(&key) {
            Some(wait) if wait.version == version => wait.backoff,
            _ => Backoff::new(FIRST, cap),
        };
        // At least half of the ceiling: what was refused a moment ago is refused now.
        let floor = backoff.ceiling() / 2;
        let delay = backoff.next_delay().max(floor).max(asked.unwrap_or_default());
        self.waits.insert(key, Wait { version, backoff, until: Instant::now() + delay });
    }

    /// Forgets what is not among `keys` any more.
    pub(crate) fn keep(&mut self, keys: impl Fn(&K) -> bool) {
        self.waits.retain(|key, _| keys(key));
    }

    /// The keys that are not due yet, with their versions; forgets the others.
    pub(crate) fn waiting(&mut self) -> Vec<(K, V)>
    where
        V: Copy,
    {
        let now = Instant::now();
        let is_over = |wait: &Wait<V>| wait.until + self.cap < now;
        self.waits.retain(|_, wait| !is_over(wait));
        let waiting = self.waits.iter().filter(|(_, wait)| wait.until > now);
        waiting.map(|(key, wait)| (*key, wait.version)).collect()
    }

    /// How long until the next key is due.
    pub(crate) fn next(&self) -> Option<Duration> {
        let now = Instant::now();
        // What is due was looked at, or is gone.
        let first =
            self.waits.values().map(|wait| wait.until).filter(|until| *until > now).min()?;
        Some(first - now)
    }
}
