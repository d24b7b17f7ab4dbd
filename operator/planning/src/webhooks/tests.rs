use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const fn seen(commit: &str, generation: Option<i64>) -> Seen<'_> {
    Seen { commit, generation }
}

const fn push<'a>(before: Option<&'a str>, after: Seen<'a>) -> Push<'a> {
    Push { before, after }
}

#[test]
fn a_push_is_decided_as_the_table_says() {
    let (a, b) = (seen("a", Some(1)), seen("b", Some(2)));
    let new = seen("c", None);
    let table = [
        ("next step", Some(b), push(Some("b"), new), Head::Unasked, Decision::Wish("c")),
        ("first push", None, push(None, new), Head::Unasked, Decision::Ask),
        ("first push, asked", None, push(None, new), Head::At(new), Decision::Wish("c")),
        ("gap", Some(a), push(Some("b"), new), Head::Unasked, Decision::Ask),
        ("redelivery", Some(b), push(Some("a"), b), Head::Unasked, Decision::Ask),
        ("redelivery, asked", Some(b), push(Some("a"), b), Head::At(b), Decision::Known),
        ("late", Some(b), push(None, a), Head::At(b), Decision::Known),
        ("late, head lost", Some(a), push(Some("a"), new), Head::At(b), Decision::Remember("b")),
        ("forced back", Some(b), push(Some("b"), a), Head::Unasked, Decision::Ask),
        ("forced back, asked", Some(b), push(Some("b"), a), Head::At(a), Decision::Wish("a")),
        ("by hand before", None, push(None, a), Head::At(a), Decision::Remember("a")),
        ("by hand later", Some(a), push(Some("a"), b), Head::At(b), Decision::Remember("b")),
        ("as it was connected", Some(new), push(None, new), Head::At(new), Decision::Wish("c")),
        ("gone", Some(a), push(Some("a"), b), Head::Gone, Decision::Gone),
    ];
    for (name, known, push, head, wanted) in table {
        assert_eq!(decide(known, push, head), wanted, "{name}");
    }
}

#[test]
fn a_sweep_wishes_only_for_what_was_not_shown() {
    let (a, b, new) = (seen("a", Some(1)), seen("b", Some(2)), seen("c", None));
    assert_eq!(show(Some(a), a), Decision::Known);
    assert_eq!(show(Some(new), new), Decision::Known);
    assert_eq!(show(Some(a), new), Decision::Wish("c"));
    assert_eq!(show(Some(a), b), Decision::Remember("b"));
    assert_eq!(show(Some(b), a), Decision::Wish("a"));
    // Connected while the repository was empty.
    assert_eq!(show(Some(seen("", None)), new), Decision::Wish("c"));
}

/// An environment that carries decisions out.
#[derive(Default)]
struct Environment {
    known: Option<String>,
    generation: i64,
    wishes: HashMap<String, i64>,
    newest: Option<String>,
}

impl Environment {
    fn seen<'a>(&self, commit: &'a str) -> Seen<'a> {
        Seen { commit, generation: self.wishes.get(commit).copied() }
    }

    fn wish(&mut self, commit: &str) {
        self.generation += 1;
        self.wishes.insert(commit.to_owned(), self.generation);
        self.newest = Some(commit.to_owned());
    }

    /// Takes a delivery while the branch is at `head`; says whether it made a wish.
    fn take(&mut self, before: Option<&str>, after: &str, head: &str) -> bool {
        let known = self.known.clone();
        let known = known.as_deref().map(|commit| self.seen(commit));
        let push = Push { before, after: self.seen(after) };
        let mut decision = decide(known, push, Head::Unasked);
        if decision == Decision::Ask {
            decision = decide(known, push, Head::At(self.seen(head)));
        }
        match decision {
            Decision::Wish(commit) => {
                self.wish(commit);
                self.known = Some(commit.to_owned());
                true
            }
            Decision::Remember(commit) => {
                self.known = Some(commit.to_owned());
                false
            }
            _ => false,
        }
    }
}

/// Commits that a branch was pushed to (force pushes included), the order of their deliveries
/// (with repeats), and when each delivery comes.
fn histories() -> impl Strategy<Value = (Vec<u8>, Vec<prop::sample::Index>)> {
    (
        prop::collection::vec(0u8..5, 1..12),
        prop::collection::vec(any::<prop::sample::Index>(), 0..24),
    )
}

proptest! {
    /// Liveness: whatever the order of deliveries, the newest wish is for the head in the end;
    /// safety: after that no redelivery makes a wish, nor undoes one that was made by hand.
    #[test]
    fn the_newest_commit_is_wished_last_and_stays((commits, order) in histories()) {
        let mut names: Vec<String> = commits.iter().map(|c| format!("c{c}")).collect();
        names.dedup();
        let mut environment = Environment::default();
        let before = |i: usize| i.checked_sub(1).map(|i| names[i].as_str());
        // Some come while the branch goes on: at most those pushed so far.
        for (step, index) in order.iter().enumerate() {
            let at = step.min(names.len() - 1);
            let i = index.index(at + 1);
            environment.take(before(i), &names[i], &names[at]);
        }
        let head = names[names.len() - 1].clone();
        for i in (0..names.len()).rev() {
            environment.take(before(i), &names[i], &head);
        }
        prop_assert_eq!(environment.known.as_deref(), Some(head.as_str()));
        prop_assert_eq!(environment.newest.as_deref(), Some(head.as_str()));
        environment.wish("rollback");
        for (i, name) in names.iter().enumerate() {
            prop_assert!(!environment.take(before(i), name, &head));
        }
        prop_assert_eq!(environment.newest.as_deref(), Some("rollback"));
    }
}
