use super::*;

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[test]
fn operations_and_reconcilers_are_read_from_where_they_are_made() {
    let document = r#"{"paths": {"/a": {"get": {"operationId": "list_a"}, "post": {}},
        "/b": {"delete": {"operationId": "drop_b"}}}}"#;
    assert_eq!(operations(document).unwrap(), ["list_a", "drop_b"]);
    let text = "const NAME: &'static str = \"nodes\";\n";
    let all = [
        source("operator/src/reconcilers/nodes.rs", text),
        source("operator/src/elsewhere.rs", "const NAME: &'static str = \"no\";"),
    ];
    assert_eq!(reconcilers(&all), ["nodes"]);
}

#[test]
fn a_verb_counts_only_where_a_story_runs_it() {
    let story =
        source("tests/it/a.rs", "run(&[\n    \"keys\",\n    \"list\"]); command.arg(\"up\")");
    let stories = texts(&[story], |path| path.starts_with("tests/"));
    assert!(is_run(&stories, &words("keys list")));
    assert!(is_run(&stories, &words("up")));
    assert!(!is_run(&stories, &words("keys create")));
    assert!(!is_run(&stories, &words("list")), "a word in the middle is no verb");
}

#[test]
fn the_help_tells_of_the_verbs() {
    let help = "Runs apps\n\nUsage: zeitwork <COMMAND>\n\nCommands:\n  up      Run it\n          \
                until Ctrl-C\n  keys    Keys\n  help    Print this\n\nOptions:\n  -h  Help\n";
    assert_eq!(below(help), ["up", "keys"]);
    assert!(below("Usage: zeitwork up\n\nOptions:\n  -h  Help\n").is_empty());
}
