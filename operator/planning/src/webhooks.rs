//! What a push means for one environment.
//!
//! Deliveries come twice, late and out of order, so their order says nothing: GitHub's own head
//! of the branch does. What the environment was shown is its `known` head; a commit is news if
//! it is another one, and nobody has wished for it since that head was shown (by hand, say).

#[cfg(test)]
mod tests;

/// A commit and the newest wish for it in the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen<'a> {
    /// The commit.
    pub commit: &'a str,
    /// Generation of the newest wish for it; none: nobody ever wished for it.
    pub generation: Option<i64>,
}

/// A push as a delivery tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Push<'a> {
    /// Where the branch was; none: it is new.
    pub before: Option<&'a str>,
    /// Where the branch went.
    pub after: Seen<'a>,
}

/// Where the branch is now, as GitHub says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head<'a> {
    /// Nobody asked.
    Unasked,
    /// There is no such branch any more.
    Gone,
    /// At this commit.
    At(Seen<'a>),
}

/// What to do about a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    /// It may be outdated: ask GitHub for the head and decide again.
    Ask,
    /// Wish for this commit, and remember it as the head.
    Wish(&'a str),
    /// Wished for already: remember it as the head.
    Remember(&'a str),
    /// The head was shown before.
    Known,
    /// The branch is gone.
    Gone,
}

/// Decides about a push. `known` is the head that the environment was shown last.
#[must_use]
pub fn decide<'a>(known: Option<Seen<'_>>, push: Push<'a>, head: Head<'a>) -> Decision<'a> {
    match head {
        Head::Gone => Decision::Gone,
        // Shown when the project was connected, but nobody wished for it: now somebody does.
        Head::At(head)
            if head.generation.is_none()
                && known.is_some_and(|known| known.commit == head.commit) =>
        {
            Decision::Wish(head.commit)
        }
        Head::At(head) => show(known, head),
        // The very next step of what is known, and new: nothing can be newer but what will be
        // told later.
        Head::Unasked
            if push.after.generation.is_none()
                && push.before.is_some()
                && push.before == known.map(|known| known.commit) =>
        {
            Decision::Wish(push.after.commit)
        }
        Head::Unasked => Decision::Ask,
    }
}

/// Decides about a head that the git server has shown just now, without a push that tells of it.
#[must_use]
pub fn show<'a>(known: Option<Seen<'_>>, head: Seen<'a>) -> Decision<'a> {
    match known {
        Some(known) if known.commit == head.commit => Decision::Known,
        // Somebody wished for it after the known head was wished for.
        known if head.generation > known.and_then(|known| known.generation) => {
            Decision::Remember(head.commit)
        }
        _ => Decision::Wish(head.commit),
    }
}
