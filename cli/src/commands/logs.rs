//! `zeitwork logs`.

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;

use crate::api::stream::Item;
use crate::api::{Api, segment, with_query};
use crate::output::Output;
use crate::session::{Session, Target, text};

/// Lines that are shown unless more are asked for.
const LINES: usize = 1000;
/// The API's maximum.
const LINES_MAXIMUM: usize = 10_000;

/// Options of `zeitwork logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// Id of a deployment (dep_…) or a build (bld_…) [default: the environment].
    #[arg(value_name = "DEPLOYMENT|BUILD")]
    of: Option<String>,
    #[command(flatten)]
    target: Target,
    /// Go on with new lines until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    /// Show the last so many lines of each instance.
    #[arg(long, short = 'n', default_value_t = LINES)]
    lines: usize,
}

impl Logs {
    /// Shows lines, oldest first.
    pub async fn run(self, session: &Session) -> Result<()> {
        let api = session.api()?;
        let tail = self.lines.min(LINES_MAXIMUM).to_string();
        let path = with_query(&self.path(&api).await?, &[("tail", &tail)]);
        if self.follow {
            return stream(&api, &path, &session.output).await;
        }
        let output = &session.output;
        let page = |lines: Vec<Value>| lines.iter().for_each(|line| print(output, line));
        if api.pages(&path, usize::MAX, page).await? == 0 {
            session.output.step("there are no lines");
        }
        Ok(())
    }

    async fn path(&self, api: &Api) -> Result<String> {
        match self.of.as_deref() {
            None => Ok(format!("{}/logs", self.target.path(api).await?)),
            Some(id) if id.starts_with("dep_") => Ok(format!("/deployments/{}/logs", segment(id))),
            Some(id) if id.starts_with("bld_") => Ok(format!("/builds/{}/logs", segment(id))),
            Some(other) => bail!(
                "{other} is neither a deployment (dep_…) nor a build (bld_…): name an environment \
                 with --project and --environment"
            ),
        }
    }
}

async fn stream(api: &Api, path: &str, output: &Output) -> Result<()> {
    let mut stream = api.follow(path);
    while let Some(item) = stream.next().await? {
        match item {
            Item::Line(line) => print(output, &line),
            Item::Gap(_) => output.step("… lines are missing here"),
        }
    }
    Ok(())
}

fn print(output: &Output, line: &Value) {
    if output.is_json() {
        output.json_line(line);
    } else {
        output.line(&shown(line, true));
    }
}

/// A line for people: when, which instance, what.
pub fn shown(line: &Value, with_origin: bool) -> String {
    let Some(said) = line.get("text").and_then(Value::as_str) else { return line.to_string() };
    if !with_origin {
        return said.to_owned();
    }
    let at = milliseconds(&text(line, "/at"));
    // The end of an id differs between instances of one moment; its beginning is the time.
    let instance = text(line, "/instance");
    let short = instance.get(instance.len().saturating_sub(6)..).unwrap_or_default();
    let mark = match text(line, "/stream").as_str() {
        "stderr" => "!",
        "system" => "*",
        _ => "|",
    };
    format!("{at} {short} {mark} {said}").trim_start().to_owned()
}

/// A moment with as many digits as every other, so that lines stand below each other.
fn milliseconds(at: &str) -> String {
    const DIGITS: usize = 3;
    let (seconds, fraction) = at.trim_end_matches('Z').split_once('.').unwrap_or_default();
    if seconds.is_empty() {
        return at.to_owned();
    }
    let fraction: String = fraction.chars().chain("000".chars()).take(DIGITS).collect();
    format!("{seconds}.{fraction}Z")
}
