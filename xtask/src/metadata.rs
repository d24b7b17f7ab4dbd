//! What cargo knows about our packages.

use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use crate::command;

/// The part of `cargo metadata` that the gates read.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
pub struct Package {
    pub name: String,
    pub manifest_path: String,
    pub dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
pub struct Dependency {
    pub name: String,
    /// `None` is a normal dependency, else `dev` or `build`.
    pub kind: Option<String>,
    pub optional: bool,
    /// Present when the dependency is one of ours.
    pub path: Option<String>,
}

/// Our own packages.
pub fn members(root: &Path) -> anyhow::Result<Vec<Package>> {
    let mut cargo = command::cargo(root);
    cargo.args(["metadata", "--format-version", "1", "--no-deps"]);
    let json = command::output_of(&mut cargo)?;
    let metadata: Metadata =
        serde_json::from_slice(&json).context("cargo metadata has another form than expected")?;
    Ok(metadata.packages)
}
