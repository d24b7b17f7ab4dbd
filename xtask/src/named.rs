//! Every operation of the API, every reconciler and every verb of the command line is named by a
//! test: operations in `api/tests`, which calls each with every kind of key; reconcilers as a
//! text of a test; verbs as the arguments with which a story runs the real program.
//!
//! It does not say that the test is a good one.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::command;
use crate::sources::{self, Source};

#[cfg(test)]
mod tests;

const DOCUMENT: &str = "api/openapi.json";
const RECONCILERS: &str = "operator/src/reconcilers";
const NAME: &str = "const NAME: &'static str = \"";

/// Fails unless everything is named.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let all = sources::with_extension(root, "rs")?;
    let document = std::fs::read_to_string(root.join(DOCUMENT)).context(DOCUMENT)?;
    let operations = operations(&document)?;
    let reconcilers = reconcilers(&all);
    let verbs = verbs(&built(root)?, &[])?;
    let mut missing = Vec::new();
    let of_api = texts(&all, |path| path.starts_with("api/tests/"));
    for operation in &operations {
        if !of_api.contains(&format!("\"{operation}\"")) {
            missing.push(format!("operation {operation}: in no test below api/tests"));
        }
    }
    let of_tests = texts(&all, sources::is_test);
    for reconciler in &reconcilers {
        if !of_tests.contains(&format!("\"{reconciler}\"")) {
            missing.push(format!("reconciler {reconciler}: in no test"));
        }
    }
    let of_stories = texts(&all, |path| path.starts_with("tests/"));
    for verb in &verbs {
        if !is_run(&of_stories, verb) {
            missing.push(format!("zeitwork {}: run by no story", verb.join(" ")));
        }
    }
    let counts = [operations.len(), reconcilers.len(), verbs.len()];
    if counts.contains(&0) {
        bail!("found {counts:?} operations, reconcilers and verbs: this gate reads them wrongly");
    }
    if !missing.is_empty() {
        bail!("not named by a test:\n  {}", missing.join("\n  "));
    }
    let [operations, reconcilers, verbs] = counts;
    println!("named: {operations} operations, {reconcilers} reconcilers, {verbs} verbs");
    Ok(())
}

/// The ids of all operations.
fn operations(document: &str) -> anyhow::Result<Vec<String>> {
    let document: serde_json::Value = serde_json::from_str(document).context(DOCUMENT)?;
    let paths = document["paths"].as_object().into_iter().flatten();
    let verbs = paths.flat_map(|(_, path)| path.as_object().into_iter().flatten());
    Ok(verbs.filter_map(|(_, it)| Some(it["operationId"].as_str()?.to_owned())).collect())
}

/// The names of all reconcilers.
fn reconcilers(all: &[Source]) -> Vec<String> {
    let of_operator = all.iter().filter(|source| source.path.starts_with(RECONCILERS));
    let names = of_operator.flat_map(|source| source.text.split(NAME).skip(1));
    names.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}

/// The texts of some sources, white space folded: a call is found however it was wrapped.
fn texts(all: &[Source], is_wanted: impl Fn(&str) -> bool) -> String {
    let wanted = all.iter().filter(|source| is_wanted(&source.path));
    let words: Vec<&str> = wanted.flat_map(|source| source.text.split_whitespace()).collect();
    words.join(" ")
}

/// Whether a story runs the verb: its words are the first of a list, or handed over one by one.
fn is_run(stories: &str, verb: &[String]) -> bool {
    let words: Vec<String> = verb.iter().map(|word| format!("\"{word}\"")).collect();
    let list = words.join(", ");
    ["[", "[ ", "arg("].iter().any(|before| stories.contains(&format!("{before}{list}")))
}

/// The program, built as a part of the whole.
fn built(root: &Path) -> anyhow::Result<std::path::PathBuf> {
    let mut build = command::cargo(root);
    command::run(build.args(["build", "--quiet", "--workspace", "--bins"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Ok(root.join(target).join("debug/zeitwork"))
}

/// Every verb without further verbs below it, as the program's own help tells of them.
fn verbs(program: &Path, above: &[String]) -> anyhow::Result<Vec<Vec<String>>> {
    let help = command::output_of(Command::new(program).arg("help").args(above))?;
    let below = below(&String::from_utf8_lossy(&help));
    if below.is_empty() {
        return Ok(vec![above.to_vec()]);
    }
    let mut all = Vec::new();
    for verb in below {
        all.extend(verbs(program, &[above, &[verb]].concat())?);
    }
    Ok(all)
}

/// The verbs that a help lists under `Commands:`.
fn below(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| line.trim() != "Commands:").skip(1);
    let list = list.take_while(|line| !line.trim().is_empty());
    // A line that is indented further goes on with what was said of the verb above it.
    let verbs = list.filter_map(|line| line.strip_prefix("  ").filter(|it| !it.starts_with(' ')));
    let names = verbs.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}
