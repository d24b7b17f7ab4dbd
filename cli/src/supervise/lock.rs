//! One `zeitwork up` for a state directory.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Result, anyhow};
use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use super::home::Home;

const FILE: &str = "run/up.lock";

/// Held by whoever works on a state directory.
pub type Lock = Flock<File>;

/// Taken for as long as the returned value lives, however the process ends.
pub fn lock(home: &Home) -> Result<Lock> {
    let path = home.state.join(FILE);
    let file = File::options().create(true).truncate(false).write(true).open(&path)?;
    let mut file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
        let process = runs_as(&home.state).map(|pid| format!(" (process {pid})"));
        let process = process.unwrap_or_default();
        anyhow!("`zeitwork up` already runs on {}{process}", home.state.display())
    })?;
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

/// The process of the `zeitwork up` that runs on a state directory, if one does; a killed one
/// leaves its files behind.
pub fn runs_as(state: &Path) -> Option<u32> {
    let locked = std::fs::read_to_string(state.join(FILE)).ok();
    // Users that may not read the lock can read what was announced.
    let announced = || {
        let text = std::fs::read_to_string(state.join("up.json")).ok()?;
        serde_json::from_str::<Value>(&text).ok()?.get("pid").map(Value::to_string)
    };
    let pid: u32 = locked.or_else(announced)?.trim().parse().ok()?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (name.trim() == "zeitwork").then_some(pid)
}
