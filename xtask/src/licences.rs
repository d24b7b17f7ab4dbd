//! What we link: under which licences, nothing banned, nothing known to be broken.
//!
//! Reads `cargo tree`, which (unlike `cargo metadata`) leaves out optional crates that nobody
//! switched on. The advisories are a list of our own, so that the gate needs no network; it is
//! no substitute for reading the advisory database before a release.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::bail;

use crate::command;

mod expression;
#[cfg(test)]
mod tests;

/// Crates that must not come back, each with the reason.
const BANNED: [(&str, &str); 8] = [
    ("openssl", "rustls is the one TLS implementation"),
    ("openssl-sys", "rustls is the one TLS implementation"),
    ("native-tls", "rustls is the one TLS implementation"),
    ("ring", "aws-lc-rs is the one provider; two make rustls panic when it picks a default"),
    ("tokio-tar", "unmaintained, RUSTSEC-2025-0111: entries can be smuggled past it"),
    ("async-tar", "unmaintained, has the flaw of RUSTSEC-2025-0111"),
    ("rsa", "RUSTSEC-2023-0071: its timing gives the private key away"),
    ("hickory-client", "not continued after 0.25; hickory-net has the client"),
];

/// Crate, first version that is safe, advisory.
const ADVISORIES: [(&str, &str, &str); 8] = [
    ("sqlx", "0.8.1", "RUSTSEC-2024-0363"),
    ("idna", "1.0.0", "RUSTSEC-2024-0421"),
    ("rustls", "0.23.18", "RUSTSEC-2024-0399"),
    ("h2", "0.4.4", "RUSTSEC-2024-0332"),
    ("tracing-subscriber", "0.3.20", "RUSTSEC-2025-0055"),
    ("crossbeam-channel", "0.5.15", "RUSTSEC-2025-0024"),
    ("curve25519-dalek", "4.1.3", "RUSTSEC-2024-0344"),
    ("mio", "0.8.11", "RUSTSEC-2024-0019"),
];

/// One crate as `cargo tree` names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Linked {
    name: String,
    version: String,
    licence: String,
}

/// Fails on a banned crate, an unknown licence or a known advisory; names duplicate versions.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let mut cargo = command::cargo(root);
    cargo.args(["tree", "--workspace", "--locked", "--prefix", "none"]);
    cargo.args(["--edges", "normal,build,dev", "--format", "{p}|{l}"]);
    let linked = parse(&String::from_utf8(command::output_of(&mut cargo)?)?);
    println!("licences: {} crates, {}", linked.len(), duplicates(&linked));
    let faults = faults(&linked);
    if !faults.is_empty() {
        bail!("not to be linked:\n  {}", faults.join("\n  "));
    }
    Ok(())
}

/// Lines of the form `name v1.2.3 (path)|licence`; a repeated one ends in ` (*)`.
fn parse(tree: &str) -> BTreeSet<Linked> {
    tree.lines()
        .filter_map(|line| {
            let (package, licence) = line.split_once('|')?;
            let mut words = package.split_whitespace();
            Some(Linked {
                name: words.next()?.to_owned(),
                version: words.next()?.trim_start_matches('v').to_owned(),
                licence: licence.trim_end_matches(" (*)").trim().to_owned(),
            })
        })
        .collect()
}

fn faults(linked: &BTreeSet<Linked>) -> Vec<String> {
    let mut faults = Vec::new();
    for Linked { name, version, licence } in linked {
        if let Some((_, reason)) = BANNED.iter().find(|(banned, _)| banned == name) {
            faults.push(format!("{name} {version}: {reason}; see `cargo tree -i {name}`"));
        }
        if !expression::is_allowed(licence) {
            let shown = if licence.is_empty() { "no licence named" } else { licence };
            faults.push(format!("{name} {version}: {shown}"));
        }
        for (_, safe, advisory) in ADVISORIES.iter().filter(|(affected, ..)| affected == name) {
            if numbers(version) < numbers(safe) {
                faults.push(format!("{name} {version}: {advisory}, mended in {safe}"));
            }
        }
    }
    faults
}

fn duplicates(linked: &BTreeSet<Linked>) -> String {
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for crate_ in linked {
        *versions.entry(&crate_.name).or_default() += 1;
    }
    versions.retain(|_, count| *count > 1);
    let names: Vec<&str> = versions.into_keys().collect();
    format!("in more than one version: {}", names.join(", "))
}

/// The three numbers of a version; what follows a `-` or `+` does not count.
fn numbers(version: &str) -> Vec<u64> {
    let plain = version.split(['-', '+']).next().unwrap_or_default();
    plain.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}
