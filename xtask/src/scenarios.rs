//! The scenario texts of the planner in `operator/planning/scenarios`: what follows each event is
//! what the planner does now. The test of the crate replays them; with a word in its environment
//! it writes them.

use std::path::Path;

use crate::command;

const TEST: &str = "every_scenario_goes_as_it_is_told";

/// Writes what follows now.
pub fn regenerate(root: &Path) -> anyhow::Result<()> {
    command::run(replay(root).env("ZEITWORK_SCENARIOS", "write"))?;
    println!("scenarios: written, read the difference before it is committed");
    Ok(())
}

/// Fails where a text says otherwise.
pub fn verify(root: &Path) -> anyhow::Result<()> {
    command::run(replay(root).env_remove("ZEITWORK_SCENARIOS"))?;
    println!("scenarios: as they are told");
    Ok(())
}

fn replay(root: &Path) -> std::process::Command {
    let mut cargo = command::cargo(root);
    // The whole workspace is selected so that nothing is built with other features.
    cargo.args(["test", "--quiet", "--workspace", "--lib", TEST]);
    cargo
}
