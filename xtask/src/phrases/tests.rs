//! Samples of sources that the gate must refuse.

use super::{Source, UNCHECKED_SQL, code_faults, comment_faults};

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

#[test]
fn unchecked_sql_has_one_home() {
    let text = "fn run() { query(AssertSqlSafe(text)) }";
    assert!(code_faults(&source(UNCHECKED_SQL, text)).unwrap().is_empty());
    let found = code_faults(&source("shared/database/src/project.rs", text)).unwrap();
    assert_eq!(
        found,
        ["shared/database/src/project.rs:1: AssertSqlSafe outside shared/database/src/testing.rs"]
    );
}

#[test]
fn a_shell_is_found_in_calls_and_in_macros_but_not_in_tests() {
    for text in [
        "fn run() { Command::new(\"sh\"); }",
        "fn run() { vec![\"/bin/bash\"] }",
        "fn run() { f(b\"sh\", r#\"sh\"#); }",
    ] {
        assert!(!code_faults(&source("cli/src/up.rs", text)).unwrap().is_empty(), "{text}");
        assert!(code_faults(&source("cli/src/up/tests.rs", text)).unwrap().is_empty(), "{text}");
    }
    let argument = "fn run() { Command::new(\"git\").args([\"-c\", \"core.hooksPath=\"]); }";
    assert!(code_faults(&source("cli/src/up.rs", argument)).unwrap().is_empty());
}

#[test]
fn notes_and_dead_code_in_comments_are_found() {
    let found = comment_faults(&source("a.rs", "let x = 1; /\u{2f} TODO: later\n"), "//");
    assert_eq!(found, ["a.rs:1: TODO in a comment"]);
    let found = comment_faults(&source("a.sql", "-- FIXME\nselect 1;\n"), "--");
    assert_eq!(found, ["a.sql:1: FIXME in a comment"]);
    let found = comment_faults(&source("a.rs", "// let x = call();\n"), "//");
    assert_eq!(found, ["a.rs:1: commented-out code"]);
}

#[test]
fn prose_in_comments_passes() {
    let prose =
        "// The old ones leave last (they are the service);\n// see f(x) = 1\n/// `call();`\n";
    assert!(comment_faults(&source("a.rs", prose), "//").is_empty());
}
