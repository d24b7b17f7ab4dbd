//! Which lines the tests reach. Not a gate.
//!
//! Only our own crates get counters, by a wrapper around rustc that is this program itself: what
//! we link stays as every other build has made it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::command;

/// Set for the wrapper, so that this program knows that cargo calls it in rustc's place.
const WRAPPER: &str = "ZEITWORK_XTASK_COUNTS";
/// What the counters write.
const COUNTERS: &str = "target/coverage";
/// Files that are not the product.
const OTHERS: &str = r"(/\.cargo/|/rustc/|/target/|/tests/|/tests\.rs$|/xtask/)";

/// Runs all tests with counters and prints a table of files; the last line is the whole.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let tools = tools(root)?;
    let counters = root.join(COUNTERS);
    if counters.exists() {
        std::fs::remove_dir_all(&counters)?;
    }
    let programs = build(root, &counters)?;
    command::run(with_counters(root, &counters)?.args(["test", "--workspace"]))?;
    let merged = counters.join("merged.profdata");
    let mut merge = Command::new(tools.join("llvm-profdata"));
    merge.args(["merge", "--sparse", "--output"]).arg(&merged);
    command::run(merge.args(raw_counts(&counters)?))?;
    let mut report = Command::new(tools.join("llvm-cov"));
    report.args(["report", "--show-region-summary=false", "--show-branch-summary=false"]);
    report.args(["--ignore-filename-regex", OTHERS]);
    report.arg("--instr-profile").arg(&merged);
    for program in programs {
        report.arg("--object").arg(program);
    }
    command::run(&mut report)
}

/// In the place of rustc: the same call with counters. `None` when this is no such call.
pub fn as_wrapper() -> Option<ExitCode> {
    std::env::var_os(WRAPPER)?;
    let call: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (rustc, arguments) = call.split_first()?;
    let mut command = Command::new(rustc);
    command.args(arguments).args(["-C", "instrument-coverage"]);
    let passed = command.status().is_ok_and(|status| status.success());
    Some(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds everything and gives the programs that count.
fn build(root: &Path, counters: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut build = with_counters(root, counters)?;
    build.args(["build", "--workspace", "--all-targets", "--message-format=json"]);
    let messages = String::from_utf8(command::output_of(&mut build)?)?;
    let executable = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    };
    Ok(messages.lines().filter_map(executable).collect())
}

fn with_counters(root: &Path, counters: &Path) -> anyhow::Result<Command> {
    let mut cargo = command::cargo(root);
    cargo.env("RUSTC_WORKSPACE_WRAPPER", wrapper(root)?).env(WRAPPER, "1");
    cargo.env("SQLX_OFFLINE", "true");
    // `%m` tells programs apart, `%p` their runs: a killed one must not spoil another's file.
    cargo.env("LLVM_PROFILE_FILE", counters.join("%m-%p.profraw"));
    Ok(cargo)
}

/// A copy of this program, as cargo is about to replace the original.
fn wrapper(root: &Path) -> anyhow::Result<PathBuf> {
    let copy = root.join("target/xtask/rustc-with-counters");
    if !copy.exists() {
        std::fs::create_dir_all(root.join("target/xtask"))?;
        std::fs::copy(std::env::current_exe()?, &copy)?;
    }
    Ok(copy)
}

fn raw_counts(counters: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(counters)? {
        let path = entry?.path();
        // A program that was killed leaves an empty file.
        if path.extension().is_some_and(|end| end == "profraw") && path.metadata()?.len() > 0 {
            files.push(path);
        }
    }
    Ok(files)
}

/// The directory of LLVM's programs: rustc's own version or a newer one reads the counters.
fn tools(root: &Path) -> anyhow::Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = command::output_of(Command::new(rustc).arg("-vV").current_dir(root))?;
    let said = String::from_utf8(said)?;
    let version = said.lines().find_map(|line| line.strip_prefix("LLVM version: "));
    let oldest = version.and_then(major).context("rustc -vV names no LLVM version")?;
    let newest = std::fs::read_dir("/usr/lib")?
        .flatten()
        .filter_map(|entry| {
            let version = major(entry.file_name().to_str()?.strip_prefix("llvm-")?)?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(version, programs)| *version >= oldest && programs.join("llvm-cov").exists())
        .max();
    let missing = || {
        format!("reading the counters needs LLVM {oldest} or newer: install package llvm-{oldest}")
    };
    Ok(newest.with_context(missing)?.1)
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}
