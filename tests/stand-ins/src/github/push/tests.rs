use super::*;

fn refs_of(pairs: &[(&str, &str)]) -> Refs {
    pairs.iter().map(|(name, object)| ((*name).to_owned(), (*object).to_owned())).collect()
}

#[test]
fn each_moved_made_or_removed_ref_is_one_update() {
    let before = refs_of(&[("refs/heads/a", "1"), ("refs/heads/b", "1"), ("refs/heads/c", "1")]);
    let after = refs_of(&[("refs/heads/a", "1"), ("refs/heads/b", "2"), ("refs/tags/d", "3")]);
    let expected = vec![
        Update { name: "refs/heads/c", before: Some("1"), after: None },
        Update { name: "refs/heads/b", before: Some("1"), after: Some("2") },
        Update { name: "refs/tags/d", before: None, after: Some("3") },
    ];
    assert_eq!(updates(&before, &after), expected);
}

#[test]
fn more_than_three_tags_at_once_are_not_told() {
    let names = ["refs/heads/m", "refs/tags/a", "refs/tags/b", "refs/tags/c", "refs/tags/d"];
    let after: Refs = names.iter().map(|n| ((*n).to_owned(), "1".to_owned())).collect();
    assert_eq!(updates(&Refs::new(), &after).len(), 1);
}
