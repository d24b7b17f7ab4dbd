//! The description of the API in `api/openapi.json` is what the api itself prints.

use std::path::Path;

use anyhow::bail;

use crate::command;

const DOCUMENT: &str = "api/openapi.json";
const MAIN: &str = "api/src/main.rs";

/// Writes the document anew.
pub fn regenerate(root: &Path) -> anyhow::Result<()> {
    std::fs::write(root.join(DOCUMENT), printed(root)?)?;
    println!("openapi: {DOCUMENT} written");
    Ok(())
}

/// Fails unless the committed document is what the api prints.
pub fn verify(root: &Path) -> anyhow::Result<()> {
    if !root.join(MAIN).exists() && !root.join(DOCUMENT).exists() {
        println!("openapi: the api has no program yet");
        return Ok(());
    }
    let committed = std::fs::read(root.join(DOCUMENT)).unwrap_or_default();
    if committed != printed(root)? {
        bail!("{DOCUMENT} is not current, run `cargo xtask openapi`");
    }
    println!("openapi: {} bytes", committed.len());
    Ok(())
}

fn printed(root: &Path) -> anyhow::Result<Vec<u8>> {
    // Built as a part of the whole: alone it would get other features, and all that it needs
    // would be compiled once more.
    let mut build = command::cargo(root);
    command::run(build.args(["build", "--quiet", "--workspace", "--bins"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let program = root.join(target).join("debug/zeitwork-api");
    let mut document = command::output_of(std::process::Command::new(program).arg("openapi"))?;
    if document.last() != Some(&b'\n') {
        document.push(b'\n');
    }
    Ok(document)
}
