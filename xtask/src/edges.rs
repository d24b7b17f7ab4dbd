//! Dependencies between our crates point one way, as docs/architecture.md draws them.
//!
//! Also: who may use the crates that open a door to the outside, and that versions and lints
//! are said once, at the root.

use std::path::Path;

use anyhow::{Context, bail};

use crate::metadata::{self, Dependency, Package};

#[cfg(test)]
mod tests;

/// May depend on every package of the repository: it is linked into nothing.
const TESTS: &str = "zeitwork-tests";
/// Speaks for the outside world in tests; a dev-dependency on it is allowed everywhere.
const STAND_INS: &str = "zeitwork-stand-ins";

/// Package, and which of ours it may depend on; without the prefix `zeitwork-`.
const EDGES: [(&str, &[&str]); 18] = [
    ("model", &[]),
    ("runtime", &[]),
    ("protocol", &["model"]),
    ("auth", &["model"]),
    // It makes and opens what protocol carries sealed.
    ("secrets", &["model", "protocol"]),
    ("planning", &["model"]),
    ("outbound", &["model", "runtime"]),
    ("web", &["model", "runtime"]),
    ("postgres", &[]),
    ("database", &["model", "protocol", "runtime", "postgres"]),
    ("api", &SHARED),
    (
        "operator",
        &[
            "model", "protocol", "database", "auth", "secrets", "web", "outbound", "runtime",
            "planning",
        ],
    ),
    ("node-agent", &["model", "protocol", "database", "secrets", "outbound", "web", "runtime"]),
    ("edge-proxy", &["model", "protocol", "database", "secrets", "web", "runtime"]),
    ("cli", &["model", "runtime", "outbound", "database", "postgres", "auth", "secrets"]),
    ("stand-ins", &["model"]),
    ("tests", &[]),
    ("xtask", &["postgres"]),
];

const SHARED: [&str; 8] =
    ["model", "protocol", "database", "auth", "secrets", "web", "outbound", "runtime"];

/// Crates of others that open a door, and the packages that may go through it.
const ONLY_HERE: [(&str, &[&str]); 3] = [
    ("sqlx", &["zeitwork-database", "zeitwork-model"]),
    ("bollard", &["zeitwork-node-agent"]),
    ("octocrab", &["zeitwork-operator"]),
];

/// Fails on any edge that the tables above do not name.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let packages = metadata::members(root)?;
    let mut faults = faults(&packages);
    for package in &packages {
        let manifest = std::fs::read_to_string(&package.manifest_path)
            .with_context(|| package.manifest_path.clone())?;
        faults.extend(manifest_faults(&package.name, &manifest)?);
    }
    println!("edges: {} packages", packages.len());
    if !faults.is_empty() {
        bail!("not as docs/architecture.md draws it:\n  {}", faults.join("\n  "));
    }
    Ok(())
}

fn faults(packages: &[Package]) -> Vec<String> {
    packages.iter().flat_map(package_faults).collect()
}

fn package_faults(package: &Package) -> Vec<String> {
    let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == short(&package.name)) else {
        return vec![format!("{} is in no table of xtask/src/edges.rs", package.name)];
    };
    let mut faults = Vec::new();
    for dependency in &package.dependencies {
        if dependency.path.is_some() && !is_allowed(&package.name, allowed, dependency) {
            faults.push(format!("{} must not depend on {}", package.name, dependency.name));
        }
        if let Some(home) = only_here(&dependency.name)
            && !home.contains(&package.name.as_str())
        {
            let home = home.join(" and ");
            faults.push(format!("{} uses {}, only {home} may", package.name, dependency.name));
        }
        if dependency.name == "sqlx" && package.name == "zeitwork-model" && !dependency.optional {
            faults.push("zeitwork-model uses sqlx outside its feature `sql`".to_owned());
        }
    }
    faults
}

fn is_allowed(package: &str, allowed: &[&str], dependency: &Dependency) -> bool {
    // A dev-dependency on itself switches features on for its own tests.
    let for_tests = dependency.kind.as_deref() == Some("dev")
        && (dependency.name == STAND_INS || dependency.name == package);
    package == TESTS || for_tests || allowed.contains(&short(&dependency.name))
}

fn only_here(dependency: &str) -> Option<&'static [&'static str]> {
    ONLY_HERE.iter().find(|(name, _)| *name == dependency).map(|(_, home)| *home)
}

fn short(package: &str) -> &str {
    package.strip_prefix("zeitwork-").unwrap_or(package)
}

/// Versions and lints come from the root, so that each is said once.
fn manifest_faults(package: &str, manifest: &str) -> anyhow::Result<Vec<String>> {
    let table: toml::Table = toml::from_str(manifest)?;
    let mut faults = Vec::new();
    if !takes_from_root(table.get("lints")) {
        faults.push(format!("{package} lacks `[lints] workspace = true`"));
    }
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for (name, value) in table.get(kind).and_then(toml::Value::as_table).into_iter().flatten() {
            if name != package && !takes_from_root(Some(value)) {
                faults.push(format!("{package} sets the version of {name}, only the root may"));
            }
        }
    }
    Ok(faults)
}

fn takes_from_root(value: Option<&toml::Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
}
