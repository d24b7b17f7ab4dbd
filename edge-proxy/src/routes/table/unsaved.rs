//! What the copy on disk does not hold yet.

use std::sync::Arc;

use zeitwork_model::generation::Position;

use super::{Frozen, Site};

/// More than these are not kept one by one: the table itself is shorter to write, or it cannot
/// be written at all and they must not pile up.
const MOST: usize = 10_000;

/// A changed host as it is now; none where it is gone.
pub type Host = (String, Option<Arc<Site>>);

/// Something to write, and where it leads to.
#[derive(Debug)]
pub struct Unsaved {
    /// The position of the table with it.
    pub position: Position,
    /// What to write.
    pub what: What,
}

/// What to write.
#[derive(Debug)]
pub enum What {
    /// Hosts in the order of their changes, each as it is now.
    Changes(Vec<Host>),
    /// Everything.
    Table(Frozen),
}

/// What has changed since the last look.
#[derive(Debug, Default)]
pub(super) enum Changes {
    #[default]
    Saved,
    Hosts(Vec<Host>),
    All,
}

impl Changes {
    pub(super) fn one(&mut self, host: String, site: Option<Arc<Site>>) {
        match self {
            Self::All => {}
            Self::Hosts(hosts) if hosts.len() >= MOST => *self = Self::All,
            Self::Hosts(hosts) => hosts.push((host, site)),
            Self::Saved => *self = Self::Hosts(vec![(host, site)]),
        }
    }

    /// The position has changed, perhaps alone.
    pub(super) fn step(&mut self) {
        if matches!(self, Self::Saved) {
            *self = Self::Hosts(Vec::new());
        }
    }

    pub(super) fn all(&mut self) {
        *self = Self::All;
    }

    /// Nothing is unsaved afterwards; none: nothing was.
    pub(super) fn take(&mut self) -> Option<Self> {
        match std::mem::take(self) {
            Self::Saved => None,
            changes => Some(changes),
        }
    }
}
