use clap::{CommandFactory, Parser};

use super::Cli;
use crate::output::Format;

#[test]
fn the_arguments_contradict_nowhere() {
    Cli::command().debug_assert();
}

#[test]
fn the_format_may_stand_anywhere() {
    for arguments in [
        &["zeitwork", "--output", "json", "status"][..],
        &["zeitwork", "status", "--output", "json"],
        &["zeitwork", "deployments", "list", "--output=json"],
    ] {
        assert_eq!(Cli::try_parse_from(arguments).unwrap().output, Format::Json, "{arguments:?}");
    }
}

#[test]
fn lists_need_no_verb() {
    for noun in ["projects", "deployments", "nodes", "keys", "installations"] {
        assert!(Cli::try_parse_from(["zeitwork", noun]).is_ok(), "{noun}");
    }
}

#[test]
fn a_list_takes_its_options_without_its_verb() {
    for arguments in [
        &["zeitwork", "deployments", "-p", "shop", "-n", "3"][..],
        &["zeitwork", "deployments", "list", "-p", "shop", "-n", "3"],
        &["zeitwork", "keys", "--organisation", "acme"],
    ] {
        assert!(Cli::try_parse_from(arguments).is_ok(), "{arguments:?}");
    }
}

#[test]
fn what_contradicts_is_refused() {
    for arguments in [
        &["zeitwork", "deploy", "--ref", "main", "--commit", "abc"][..],
        &["zeitwork", "projects", "create", "Shop"],
        &["zeitwork", "projects", "create", "Shop", "--repository", "a/b", "--url", "https://x/y"],
        &["zeitwork", "scale", "-1"],
        &["zeitwork", "scale", "101"],
        &["zeitwork", "keys", "create", "ci", "--scope", "god"],
        &["zeitwork", "env", "set", "A=1", "--at", "never"],
        &["zeitwork", "status", "--output", "xml"],
    ] {
        assert!(Cli::try_parse_from(arguments).is_err(), "{arguments:?}");
    }
}

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(Cli::try_parse_from(["zeitwork", "completions", shell]).is_ok(), "{shell}");
    }
}
