use proptest::prelude::*;

use super::*;

/// Whether a path is ignored, asked as the walk asks: from its first directory on.
fn ignored(file: &str, path: &str) -> bool {
    let ignore = Ignore::parse(file);
    let mut answer = (false, Matched::default());
    for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
        answer = ignore.ignores(&path[..end], &answer.1);
    }
    answer.0
}

/// Tables after moby/patternmatcher's own.
#[test]
fn patterns_match_as_docker_has_it() {
    let cases: &[(&str, &str, bool)] = &[
        ("node_modules", "node_modules", true),
        ("node_modules", "node_modules/a/b.js", true),
        ("node_modules", "app/node_modules/a.js", false),
        ("**/node_modules", "app/node_modules/a.js", true),
        ("**/node_modules", "node_modules/a.js", true),
        ("/dist", "dist/x", true),
        ("./dist/", "dist/x", true),
        ("a/../dist", "dist/x", true),
        ("*.log", "a.log", true),
        ("*.log", "b/a.log", false),
        ("**/*.log", "b/c/a.log", true),
        ("**", "anything/at/all", true),
        ("a/**", "a/b", true),
        ("a/**", "b/a", false),
        ("a/**/z", "a/z", true),
        ("a/**/z", "a/b/c/z", true),
        ("a/**/z", "a/b/cz", false),
        ("a**", "abc/d", true),
        ("**a", "b/ca", false),
        ("**a", "b/a", true),
        ("?.c", "a.c", true),
        ("?.c", "ab.c", false),
        ("?", "/", false),
        ("[a-c].txt", "b.txt", true),
        ("[^a-c].txt", "b.txt", false),
        ("[^a-c].txt", "d.txt", true),
        ("[x", "[x", true),
        ("\\*", "*", true),
        ("\\*", "a", false),
        ("# comment", "# comment", false),
        ("", "x", false),
        (".", "x", false),
        ("*", "x/y", true),
        ("*\n!keep", "keep", false),
        ("*\n!keep", "keep/inside", false),
        ("*\n!src/main", "src/main", false),
        ("*\n!src/main", "src/other", true),
        ("!keep\n*", "keep", true),
        ("docs\n!docs/*.md\ndocs/secret.md", "docs/a.md", false),
        ("docs\n!docs/*.md\ndocs/secret.md", "docs/secret.md", true),
        ("  spaced  \n", "spaced", true),
        ("\u{feff}first", "first", true),
        ("crlf\r\nother\r\n", "crlf", true),
        ("a\\ b", "a b", true),
    ];
    for (file, path, expected) in cases {
        assert_eq!(ignored(file, path), *expected, "{file:?} and {path:?}");
    }
}

#[test]
fn no_pattern_makes_it_slow() {
    let file = format!("{}b", "*a".repeat(100));
    assert!(!ignored(&file, &"a".repeat(1_000)));
    assert!(!ignored(&format!("{}b", "**/".repeat(100)), &"a/".repeat(100)));
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(file in any::<String>(), path in any::<String>()) {
        let ignore = Ignore::parse(&file);
        let _ = ignore.ignores(&path, &Matched::default());
    }

    #[test]
    fn a_plain_name_matches_itself_and_what_is_below(name in "[a-z]{1,8}", below in "[a-z]{1,8}") {
        prop_assert!(ignored(&name, &name));
        let path = format!("{name}/{below}");
        prop_assert!(ignored(&name, &path));
    }
}
