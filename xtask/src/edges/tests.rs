//! Samples of packages that the gate must refuse.

use super::{Dependency, Package, faults, manifest_faults};

fn ours(name: &str) -> Dependency {
    Dependency {
        name: name.to_owned(),
        kind: None,
        optional: false,
        path: Some("/sample".to_owned()),
    }
}

fn theirs(name: &str) -> Dependency {
    Dependency { path: None, ..ours(name) }
}

fn package(name: &str, dependencies: Vec<Dependency>) -> Package {
    Package { name: name.to_owned(), manifest_path: String::new(), dependencies }
}

#[test]
fn an_edge_of_the_table_passes_and_any_other_fails() {
    let edge = package("zeitwork-edge-proxy", vec![ours("zeitwork-database")]);
    assert!(faults(&[edge]).is_empty());
    let edge = package("zeitwork-edge-proxy", vec![ours("zeitwork-operator")]);
    assert_eq!(faults(&[edge]), ["zeitwork-edge-proxy must not depend on zeitwork-operator"]);
}

#[test]
fn a_package_without_a_place_in_the_table_fails() {
    let stray = package("zeitwork-helpers", vec![]);
    let found = faults(&[stray]);
    assert_eq!(found, ["zeitwork-helpers is in no table of xtask/src/edges.rs"]);
}

#[test]
fn a_door_to_the_outside_has_one_user() {
    assert!(faults(&[package("zeitwork-node-agent", vec![theirs("bollard")])]).is_empty());
    let api = package("zeitwork-api", vec![theirs("bollard")]);
    assert_eq!(faults(&[api]), ["zeitwork-api uses bollard, only zeitwork-node-agent may"]);
    let model = package("zeitwork-model", vec![theirs("sqlx")]);
    assert_eq!(faults(&[model]), ["zeitwork-model uses sqlx outside its feature `sql`"]);
}

#[test]
fn tests_may_use_everything_and_everyone_the_stand_ins_in_tests() {
    assert!(faults(&[package("zeitwork-tests", vec![ours("zeitwork-operator")])]).is_empty());
    let in_tests = Dependency { kind: Some("dev".to_owned()), ..ours("zeitwork-stand-ins") };
    assert!(faults(&[package("zeitwork-operator", vec![in_tests])]).is_empty());
    assert_eq!(faults(&[package("zeitwork-operator", vec![ours("zeitwork-stand-ins")])]).len(), 1);
}

#[test]
fn versions_and_lints_stand_at_the_root() {
    let good = "[lints]\nworkspace = true\n[dependencies]\nserde.workspace = true\n";
    assert!(manifest_faults("sample", good).unwrap().is_empty());
    let bad = "[dependencies]\nserde = \"1\"\n";
    let found = manifest_faults("sample", bad).unwrap();
    assert_eq!(
        found,
        [
            "sample lacks `[lints] workspace = true`",
            "sample sets the version of serde, only the root may"
        ]
    );
}
