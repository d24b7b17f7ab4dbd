//! Generations fence: a receiver refuses what is older than what it has.

use serde::{Deserialize, Serialize};

/// A place in a history. A restore of the database starts a new epoch, because generations may
/// then run backwards; positions of different epochs are not comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// Which life of the database.
    pub epoch: i64,
    /// Grows within an epoch.
    pub generation: i64,
}

impl Position {
    /// Whether a receiver at `self` must refuse `other` as outdated.
    #[must_use]
    pub fn refuses(self, other: Self) -> bool {
        self.epoch == other.epoch && other.generation < self.generation
    }
}
