use proptest::prelude::*;

use super::*;

#[test]
fn patterns_cover_what_the_table_says() {
    let table = [
        ("main", "main", true),
        ("main", "main2", false),
        ("main", "a/main", false),
        ("feature/*", "feature/a", true),
        ("feature/*", "feature/a/b", false),
        ("feature/*", "feature/", true),
        ("feature/**", "feature/a/b", true),
        ("feature/**", "features/a", false),
        ("*", "main", true),
        ("*", "a/b", false),
        ("**", "a/b/c", true),
        ("release-*", "release-1.2", true),
        ("release-*", "release-1/2", false),
        ("*/hotfix", "eve/hotfix", true),
        ("**/hotfix", "a/b/hotfix", true),
        ("**/hotfix", "hotfix", false),
        ("v*.*", "v1.2", true),
        ("v*.*", "v12", false),
        ("a**b*c", "a/x/bzc", true),
        ("größe-*", "größe-ü", true),
        ("a***", "a/b", true),
        ("", "main", false),
    ];
    for (pattern, branch, wanted) in table {
        assert_eq!(matches(pattern, branch), wanted, "{pattern:?} on {branch:?}");
    }
}

#[test]
fn without_a_pattern_the_default_branch_is_followed() {
    assert!(follows(None, "trunk", "trunk"));
    assert!(!follows(None, "main", "trunk"));
    assert!(follows(Some("main"), "main", "trunk"));
}

#[test]
fn a_hostile_pattern_costs_little() {
    let pattern = "**a".repeat(80);
    assert!(!matches(&pattern, &"a".repeat(255).replace("aaaaa", "aaaab")[..250]));
}

proptest! {
    #[test]
    fn a_name_matches_itself_and_two_stars(name in "[a-z0-9/._-]{1,60}") {
        prop_assert!(matches(&name, &name));
        prop_assert!(matches("**", &name));
        prop_assert_eq!(matches("*", &name), !name.contains('/'));
    }

    #[test]
    fn a_star_for_a_cut_out_part_matches(head in "[a-z]{0,9}", cut in "[a-z]{0,9}", tail in "[a-z]{0,9}") {
        let pattern = format!("{head}*{tail}");
        let name = format!("{head}{cut}{tail}");
        prop_assert!(matches(&pattern, &name));
    }
}
