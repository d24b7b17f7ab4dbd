//! What the daemons have to say of the settings, before anything is started.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;
use zeitwork_runtime::config::{ConfigError, Mistake};

/// Those who read settings.
const DAEMONS: [&str; 4] = ["api", "operator", "edge-proxy", "node-agent"];

/// Fails with every mistake of every daemon at once.
pub async fn settings() -> Result<()> {
    let mut mistakes = Vec::new();
    for name in DAEMONS {
        for mistake in of(name).await? {
            // What two daemons read is wrong once.
            if !mistakes.contains(&mistake) {
                mistakes.push(mistake);
            }
        }
    }
    if mistakes.is_empty() { Ok(()) } else { Err(ConfigError(mistakes).into()) }
}

async fn of(daemon: &str) -> Result<Vec<Mistake>> {
    let program = std::env::current_exe()?.with_file_name(format!("zeitwork-{daemon}"));
    let mut command = Command::new(&program);
    command.arg("check").stdin(Stdio::null()).env("RUST_BACKTRACE", "0").kill_on_drop(true);
    let checked = command.output().await.with_context(|| {
        format!("{}: build the whole workspace (`make up` does)", program.display())
    })?;
    let said = String::from_utf8_lossy(&checked.stderr);
    let mistakes = read(&said);
    if !checked.status.success() && mistakes.is_empty() {
        bail!("{} check: {}", program.display(), said.trim());
    }
    Ok(mistakes)
}

/// The mistakes in what a daemon says of its settings ([`ConfigError`], a line each).
pub fn read(said: &str) -> Vec<Mistake> {
    let lines = said.lines().filter_map(|line| line.strip_prefix("  ")?.split_once(": "));
    lines.map(|(name, text)| Mistake { name: name.to_owned(), text: text.to_owned() }).collect()
}
