//! Waiting for a deployment: its states and the lines of its build, while they happen.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use tokio::sync::watch;

use super::logs::shown;
use crate::api::stream::Item;
use crate::api::{Api, segment};
use crate::output::Output;
use crate::session::{Session, short_commit, text};

/// Between two looks at the deployment.
const PAUSE: Duration = Duration::from_millis(300);
/// How long last lines of a build may take after the deployment has settled.
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
        let settled = follow(api, output, &text(&deployment, "/id")).await?;
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
async fn follow(api: &Api, output: &Output, id: &str) -> Result<Value> {
    let (found, build) = watch::channel(None);
    let (settled, ()) =
        tokio::join!(watch_states(api, output, id, found), show_build(api, output, build));
    settled
}

async fn watch_states(
    api: &Api,
    output: &Output,
    id: &str,
    build: watch::Sender<Option<String>>,
) -> Result<Value> {
    let path = format!("/deployments/{}", segment(id));
    let mut seen = String::new();
    loop {
        let deployment = api.get(&path).await?.context("the deployment is gone")?;
        let status = text(&deployment, "/status");
        let said = match text(&deployment, "/reason/text") {
            reason if reason.is_empty() => status.clone(),
            reason => format!("{status}: {reason}"),
        };
        if said != seen {
            output.step(&said);
            seen = said;
        }
        let known = text(&deployment, "/build");
        if !known.is_empty() && build.borrow().is_none() {
            build.send_replace(Some(known));
        }
        if !matches!(status.as_str(), "queued" | "building" | "starting") {
            return Ok(deployment);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Shows the lines of the build once it is known, until they end or the deployment has settled.
async fn show_build(api: &Api, output: &Output, mut build: watch::Receiver<Option<String>>) {
    let Ok(found) = build.wait_for(Option::is_some).await.map(|id| id.clone()) else { return };
    let path = format!("/builds/{}/logs", segment(&found.unwrap_or_default()));
    let settled = async move {
        while build.changed().await.is_ok() {}
        tokio::time::sleep(LAST_LINES_LIMIT).await;
    };
    let lines = async {
        let mut stream = api.follow(&path);
        while let Some(item) = stream.next().await? {
            match item {
                Item::Line(line) => output.detail(&shown(&line, false)),
                Item::Gap(_) => output.detail("… (lines are missing here)"),
            }
        }
        anyhow::Ok(())
    };
    tokio::select! {
        () = settled => {}
        shown = lines => if let Err(error) = shown {
            // The deployment itself goes on and is what was asked for.
            output.step(&format!("the build's log cannot be shown: {error:#}"));
        },
    }
}
