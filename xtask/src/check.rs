//! All gates, the quick ones first; every gate runs, then the failed ones are named.

use std::path::Path;

use anyhow::bail;

use crate::{command, edges, licences, named, openapi, phrases, scenarios, sizes, sqlx};

type Gate = (&'static str, fn(&Path) -> anyhow::Result<()>);

const GATES: [Gate; 9] = [
    ("format", format),
    ("sizes", sizes::run),
    ("phrases", phrases::run),
    ("edges", edges::run),
    ("licences", licences::run),
    ("clippy and sqlx", clippy),
    ("openapi", openapi::verify),
    ("named", named::run),
    ("scenarios", scenarios::verify),
];

/// Fails when any gate does.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for (name, gate) in GATES {
        if let Err(error) = gate(root) {
            println!("{name}: FAILED: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    println!("check: all {} gates passed", GATES.len());
    Ok(())
}

fn format(root: &Path) -> anyhow::Result<()> {
    command::run(command::cargo(root).args(["fmt", "--all", "--check"]))
}

fn clippy(root: &Path) -> anyhow::Result<()> {
    let mut clippy = command::cargo(root);
    clippy.args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    sqlx::verify_with(root, &mut clippy)
}
