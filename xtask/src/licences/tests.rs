//! Samples of crates that the gate must refuse.

use super::expression::is_allowed;
use super::{duplicates, faults, parse};

#[test]
fn a_banned_crate_fails_with_the_reason() {
    let found = faults(&parse("ring v0.17.14|Apache-2.0 AND ISC\n"));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("ring 0.17.14: aws-lc-rs is the one provider"), "{found:?}");
}

#[test]
fn a_licence_that_asks_for_more_than_a_name_fails() {
    assert_eq!(faults(&parse("sample v1.0.0|GPL-3.0\n")), ["sample 1.0.0: GPL-3.0"]);
    assert_eq!(faults(&parse("sample v1.0.0|\n")), ["sample 1.0.0: no licence named"]);
}

#[test]
fn a_version_with_an_advisory_fails_and_the_mended_one_passes() {
    let found = faults(&parse("idna v0.5.0|MIT\nidna v1.0.0|MIT (*)\n"));
    assert_eq!(found, ["idna 0.5.0: RUSTSEC-2024-0421, mended in 1.0.0"]);
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    for allowed in [
        "MIT",
        "GPL-2.0 OR MIT",
        "Unlicense/MIT",
        "(MIT OR GPL-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception",
        "ISC AND (Apache-2.0 OR ISC OR MIT-0)",
    ] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in
        ["", "GPL-2.0", "MIT AND GPL-2.0", "MIT AND (GPL-2.0 OR MPL-2.0)", "(MIT", "MIT MIT"]
    {
        assert!(!is_allowed(refused), "{refused}");
    }
}

#[test]
fn duplicate_versions_are_named() {
    let linked = parse("rand v0.8.5|MIT\nrand v0.9.0|MIT\nsyn v2.0.0|MIT\n");
    assert_eq!(duplicates(&linked), "in more than one version: rand");
}
