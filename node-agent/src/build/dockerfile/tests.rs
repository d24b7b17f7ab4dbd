use proptest::prelude::*;

use super::*;

fn stripped(content: &str) -> String {
    let prepared = prepare(content.as_bytes(), |_| false);
    String::from_utf8(prepared.content).unwrap()
}

#[test]
fn the_frontend_is_the_syntax_of_the_leading_directives() {
    let cases = [
        ("# syntax=docker/dockerfile:1\nFROM a\n", Some("docker/dockerfile:1")),
        ("#syntax = docker/dockerfile:1 \r\nFROM a\n", Some("docker/dockerfile:1")),
        ("# escape=`\n# SYNTAX=x/y\nFROM a\n", Some("x/y")),
        ("//syntax=x/y\nFROM a\n", Some("x/y")),
        ("\u{feff}# syntax=x/y\nFROM a\n", Some("x/y")),
        ("# a comment\n# syntax=x/y\nFROM a\n", None),
        ("\n# syntax=x/y\nFROM a\n", None),
        ("FROM a\n# syntax=x/y\n", None),
        ("", None),
    ];
    for (content, expected) in cases {
        assert_eq!(frontend(content.as_bytes()).as_deref(), expected, "{content:?}");
    }
}

#[test]
fn a_syntax_that_cannot_be_had_becomes_a_comment_and_escape_stays_a_directive() {
    assert_eq!(
        stripped("# syntax=docker/dockerfile:1\n# escape=`\nFROM a\n"),
        "# escape=`\n# (frontend not used) docker/dockerfile:1\nFROM a\n"
    );
    assert_eq!(
        stripped("# escape=`\r\n# syntax=x\r\n# check=skip=all\r\nFROM a\r\n"),
        "# escape=`\n# (frontend not used) x\n# check=skip=all\r\nFROM a\r\n"
    );
    assert_eq!(stripped("# syntax=x\n# escape=`"), "# escape=`\n# (frontend not used) x\n");
    assert_eq!(stripped("FROM a\n"), "FROM a\n");
}

#[test]
fn a_frontend_that_is_there_is_kept_if_it_is_dockers() {
    let there = |image: &str| {
        let content = format!("# syntax={image}\nFROM a\n");
        !prepare(content.as_bytes(), |_| true).stripped
    };
    assert!(there("docker/dockerfile:1"));
    assert!(there("docker.io/docker/dockerfile:1.4"));
    assert!(there("docker/dockerfile-upstream:master"));
    assert!(there("docker/dockerfile@sha256:00"));
    assert!(!there("evil/frontend"));
    assert!(!there("docker/dockerfile-evil:1"));
    assert!(!there("docker/dockerfile/evil:1"));
    assert!(!there("evil.example/docker/dockerfile:1"));
}

proptest! {
    #[test]
    fn the_number_of_lines_stays(
        lines in proptest::collection::vec(
            prop_oneof!["# syntax=[a-z/:]{1,9}", Just("# escape=`".to_owned()), "[A-Z#=a-z ]{0,12}"],
            0..8,
        ),
    ) {
        let content: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let prepared = stripped(&content);
        prop_assert_eq!(prepared.lines().count(), content.lines().count());
        prop_assert_eq!(frontend(prepared.as_bytes()), None);
    }
}
