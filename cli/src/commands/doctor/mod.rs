//! `zeitwork doctor`: what is wrong with this host or its settings, and what to do about it.
//!
//! It looks and changes nothing.

mod database;
mod engine;
mod host;
mod parts;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::output::{Output, Rows};
use crate::session::Session;

#[cfg(test)]
mod tests;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Works, and could be better.
    Hint,
    /// The platform does not work like this.
    Wrong,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Hint => "hint",
            Self::Wrong => "wrong",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Of what.
    pub check: String,
    /// How it is.
    pub outcome: Outcome,
    /// What was found.
    pub detail: String,
    /// What to do, one step a line; empty where nothing is to be done.
    pub remedy: Vec<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: &str, detail: impl Into<String>) -> Self {
        Self::new(check, Outcome::Ok, detail, Vec::new())
    }

    /// Works, and could be better.
    pub fn hint(check: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(check, Outcome::Hint, detail, vec![remedy.into()])
    }

    /// The platform does not work like this.
    pub fn wrong(check: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(check, Outcome::Wrong, detail, vec![remedy.into()])
    }

    fn new(check: &str, outcome: Outcome, detail: impl Into<String>, remedy: Vec<String>) -> Self {
        Self { check: check.to_owned(), outcome, detail: detail.into(), remedy }
    }
}

/// Runs every check; fails where something is wrong.
pub async fn run(session: &Session) -> Result<()> {
    let mut findings = settings(session);
    let engine = engine::look().await;
    findings.extend(engine.findings);
    findings.extend(database::look(session).await);
    findings.extend(host::ports(session));
    findings.extend(parts::look(session).await);
    findings.extend(host::disk("disk of the state", &session.state()));
    if let Some(root) = &engine.root {
        findings.extend(host::disk("disk of the engine", root));
    }
    findings.extend(host::kernel());
    findings.extend(host::programs());
    session.output.either(&findings, |output| show(output, &findings))?;
    let wrong = findings.iter().filter(|finding| finding.outcome == Outcome::Wrong).count();
    match wrong {
        0 => Ok(()),
        1 => bail!("1 thing is wrong"),
        several => bail!("{several} things are wrong"),
    }
}

/// Mistakes that the platform's daemons would refuse to start with.
fn settings(session: &Session) -> Vec<Finding> {
    let unknown = session.settings().unknown().iter();
    let remedy = "correct or unset it: the daemons refuse names that they do not know";
    let found: Vec<Finding> =
        unknown.map(|mistake| Finding::wrong("settings", mistake.to_string(), remedy)).collect();
    if found.is_empty() { vec![Finding::ok("settings", "every name is known")] } else { found }
}

fn show(output: &Output, findings: &[Finding]) {
    let mut rows = Rows::new(&["check", "", "found"]);
    for finding in findings {
        rows.push([
            finding.check.clone(),
            finding.outcome.word().to_owned(),
            finding.detail.clone(),
        ]);
        for step in &finding.remedy {
            rows.push([String::new(), String::new(), format!("→ {step}")]);
        }
    }
    output.table(&rows, "nothing was checked");
}
