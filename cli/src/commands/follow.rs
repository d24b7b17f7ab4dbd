//! Waiting for a deployment: its states and the lines of its build, while they happen.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::logs::shown;
use crate::api::stream::Item;
use crate::api::{Api, segment};
use crate::output::Output;
use crate::session::{Session, short_commit, text};

/// Between two looks at the deployment.
const PAUSE: Duration = Duration::from_millis(300);
/// Lines that were read and not yet shown.
const LINES_WAITING: usize = 64;
/// How long last lines of a build may take after the phase of the build.
const LAST_LINES_LIMIT: Duration = Duration::from_secs(3);

/// Whether to wait.
#[derive(Debug, Clone, Copy, Args)]
pub struct Waiting {
    /// Wait until it is live, and show its states and its build's log meanwhile; fails where it
    /// does not go live.
    #[arg(long, short)]
    pub follow: bool,
}

impl Waiting {
    /// Shows a deployment that was wished for, and waits for it where that was asked.
    pub async fn finish(self, session: &Session, api: &Api, deployment: Value) -> Result<()> {
        let output = &session.output;
        if !self.follow {
            return output.either(&deployment, |output| output.line(&summary(&deployment)));
        }
        // What was live before was built for an earlier wish.
        let was_built = !text(&deployment, "/live_at").is_empty();
        let settled = follow(api, output, &text(&deployment, "/id"), was_built).await?;
        output.either(&settled, |output| output.line(&summary(&settled)))?;
        let status = text(&settled, "/status");
        if status == "live" {
            return Ok(());
        }
        bail!("the deployment is {status}: {}", reason(&settled))
    }
}

/// One line about a deployment.
pub fn summary(deployment: &Value) -> String {
    let mut line = format!("{}  {}", text(deployment, "/id"), text(deployment, "/status"));
    for part in [short_commit(deployment, "/commit"), text(deployment, "/address")] {
        if !part.is_empty() && part != "-" {
            line.push_str("  ");
            line.push_str(&part);
        }
    }
    line
}

fn reason(deployment: &Value) -> String {
    let reason = text(deployment, "/reason/text");
    if reason.is_empty() { "no reason was given".to_owned() } else { reason }
}

/// Waits until a deployment is in a state that it does not leave by itself.
///
/// Phases are said in their order, however quickly they pass: what comes after the build is held
/// back until the build's lines have ended.
async fn follow(api: &Api, output: &Output, id: &str, mut was_built: bool) -> Result<Value> {
    let mut narrator = Narrator { api, output, id, said: String::new() };
    loop {
        let deployment = narrator.look().await?;
        if !was_built && let Some(build) = narrator.build_of(&deployment).await? {
            was_built = true;
            narrator.through_build(&build).await?;
            continue;
        }
        narrator.say_state(&deployment);
        if is_settled(&deployment) {
            return Ok(deployment);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_settled(deployment: &Value) -> bool {
    !is_before_start(deployment) && text(deployment, "/status") != "starting"
}

fn is_before_start(deployment: &Value) -> bool {
    matches!(text(deployment, "/status").as_str(), "queued" | "building")
}

/// Says what happens to one deployment, each thing once.
struct Narrator<'a> {
    api: &'a Api,
    output: &'a Output,
    id: &'a str,
    said: String,
}

impl Narrator<'_> {
    async fn look(&self) -> Result<Value> {
        let path = format!("/deployments/{}", segment(self.id));
        self.api.get(&path).await?.context("the deployment is gone")
    }

    fn say(&mut self, what: String) {
        if what != self.said {
            self.output.step(&what);
            self.said = what;
        }
    }

    fn say_state(&mut self, deployment: &Value) {
        let status = text(deployment, "/status");
        // Every deployment passes there, some between two looks.
        if status == "live" && !self.said.starts_with("starting") {
            self.say("starting".to_owned());
        }
        self.say(match text(deployment, "/reason/text") {
            reason if reason.is_empty() => status,
            reason => format!("{status}: {reason}"),
        });
    }

    /// The build that this deployment waits or waited for. One that had ended before it was wished
    /// for is not: its image is used again.
    async fn build_of(&self, deployment: &Value) -> Result<Option<String>> {
        let id = text(deployment, "/build");
        if id.is_empty() {
            return Ok(None);
        }
        let build = self.api.get(&format!("/builds/{}", segment(&id))).await?;
        let ended = build.and_then(|build| moment_of(&build, "/finished_at"));
        let is_older = ended
            .zip(moment_of(deployment, "/created_at"))
            .is_some_and(|(ended, wished)| ended < wished);
        Ok((!is_older).then_some(id))
    }

    /// Shows the lines of the build, and why it waits, until both the lines and the phase ended.
    async fn through_build(&mut self, build: &str) -> Result<()> {
        let (sender, mut lines) = mpsc::channel(LINES_WAITING);
        let mut reading = pin!(read_lines(self.api, build, sender));
        let (mut is_read, mut is_over) = (false, false);
        let mut next_look = Instant::now();
        loop {
            tokio::select! {
                line = lines.recv() => match line {
                    Some(item) => self.show_line(&item),
                    None => return Ok(()),
                },
                read = &mut reading, if !is_read => {
                    is_read = true;
                    if let Err(error) = read {
                        // The deployment itself goes on and is what was asked for.
                        self.output.step(&format!("the build's log cannot be shown: {error:#}"));
                    }
                }
                () = tokio::time::sleep_until(next_look) => {
                    if is_over {
                        return Ok(());
                    }
                    let deployment = self.look().await?;
                    is_over = !is_before_start(&deployment);
                    if !is_over {
                        self.say_state(&deployment);
                    }
                    next_look = Instant::now() + if is_over { LAST_LINES_LIMIT } else { PAUSE };
                }
            }
        }
    }

    fn show_line(&mut self, item: &Item) {
        if !self.said.starts_with("building") {
            self.say("building".to_owned());
        }
        match item {
            Item::Line(line) => self.output.detail(&shown(line, false)),
            Item::Gap(_) => self.output.detail("… (lines are missing here)"),
        }
    }
}

/// Hands on the lines of a build until they end.
async fn read_lines(api: &Api, build: &str, lines: mpsc::Sender<Item>) -> Result<()> {
    let mut stream = api.follow(&format!("/builds/{}/logs", segment(build)));
    while let Some(item) = stream.next().await? {
        if lines.send(item).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn moment_of(value: &Value, pointer: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(value.pointer(pointer)?.as_str()?, &Rfc3339).ok()
}
