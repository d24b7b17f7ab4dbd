//! How the edge stands towards the database and its disk, for `/readyz` and metrics.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zeitwork_database::edges;

/// The table counts as followed for so long after a look; looks are a second apart.
const FOLLOWED: Duration = Duration::from_secs(5);

/// What the tasks around the table say of themselves.
#[derive(Debug, Default)]
pub struct Standing(Mutex<State>);

/// What is known at the moment.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// When the table was last known to be current.
    pub current: Option<Instant>,
    /// When the lease was last renewed.
    pub renewed: Option<Instant>,
    /// Why the database does not answer.
    pub trouble: Option<String>,
    /// Why the table is not on disk.
    pub unsaved: Option<String>,
    /// Comparisons that found a difference.
    pub drift: u64,
    /// Looks that failed.
    pub failures: u64,
}

impl Standing {
    /// Now.
    #[must_use]
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// Whether operators still wait for this edge.
    #[must_use]
    pub fn has_lease(&self) -> bool {
        self.lock().renewed.is_some_and(|at| at.elapsed() < edges::LEASE)
    }

    /// Whether the routes are followed: an edge that does not must not be waited for.
    #[must_use]
    pub fn is_following(&self) -> bool {
        self.lock().current.is_some_and(|at| at.elapsed() < FOLLOWED)
    }

    /// The lease was renewed.
    pub fn renewed(&self) {
        self.lock().renewed = Some(Instant::now());
    }

    /// A comparison found a difference.
    pub fn drifted(&self) {
        self.lock().drift += 1;
    }

    /// The table is current; true where there was trouble before.
    pub fn becomes_current(&self) -> bool {
        let mut state = self.lock();
        state.current = Some(Instant::now());
        state.trouble.take().is_some()
    }

    /// Notes a trouble; true where it is not the one that is already known.
    pub fn is_news(&self, trouble: &str) -> bool {
        let mut state = self.lock();
        let news = state.trouble.as_deref() != Some(trouble);
        state.trouble = Some(trouble.to_owned());
        news
    }

    /// A look failed; true where its reason is not the one that is already known.
    pub fn failed(&self, trouble: &str) -> bool {
        self.lock().failures += 1;
        self.is_news(trouble)
    }

    /// Whether the table is on disk, or why not; true where that is news.
    pub fn saved(&self, trouble: Option<&str>) -> bool {
        let mut state = self.lock();
        let news = state.unsaved.as_deref() != trouble;
        state.unsaved = trouble.map(str::to_owned);
        news
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
