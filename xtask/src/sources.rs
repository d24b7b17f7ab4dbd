//! Where the repository is and which files are ours.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use walkdir::{DirEntry, WalkDir};

/// Directories that hold what others wrote or what is made anew.
const FOREIGN: [&str; 4] = ["target", ".git", ".zeitwork", "node_modules"];

/// One source file, with its path relative to the root and with `/` between the parts.
pub struct Source {
    pub path: String,
    pub text: String,
}

/// The root of the repository: the parent of this package.
pub fn root() -> anyhow::Result<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(package.parent().context("the package xtask has no parent directory")?.to_path_buf())
}

/// Every file below `root` that ends in `.extension`, sorted by path.
pub fn with_extension(root: &Path, extension: &str) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for entry in WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(is_ours) {
        let entry = entry?;
        if entry.file_type().is_file() && entry.path().extension() == Some(OsStr::new(extension)) {
            let text = std::fs::read_to_string(entry.path())
                .with_context(|| entry.path().display().to_string())?;
            let path = entry.path().strip_prefix(root)?.display().to_string();
            sources.push(Source { path, text });
        }
    }
    Ok(sources)
}

/// Unit and integration tests, which have more freedom than product code.
pub fn is_test(path: &str) -> bool {
    path.starts_with("tests/src/")
        || path.starts_with("tests/it/")
        || path.ends_with("/tests.rs")
        || path.contains("/tests/")
}

fn is_ours(entry: &DirEntry) -> bool {
    !entry.file_name().to_str().is_some_and(|name| FOREIGN.contains(&name))
}
