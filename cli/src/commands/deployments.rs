//! `zeitwork deployments`.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::follow::summary;
use crate::api::{segment, with_query};
use crate::output::{Output, Rows};
use crate::session::{Session, moment, project_path, short_commit, text};

/// Deployments that are listed unless more are asked for.
const LISTED: usize = 20;

/// What to do with deployments.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List deployments, newest first.
    List(List),
    /// Show one deployment.
    Show {
        /// Its id.
        deployment: String,
    },
    /// Cancel a deployment that is not live yet; what was live stays live.
    Cancel {
        /// Its id.
        deployment: String,
    },
}

/// Which deployments.
#[derive(Debug, Args)]
pub struct List {
    /// Slug or id of the project; may be left out where there is only one.
    #[arg(long, short)]
    project: Option<String>,
    /// Only of this environment.
    #[arg(long, short)]
    environment: Option<String>,
    /// Only in this state.
    #[arg(long)]
    status: Option<String>,
    /// At most so many.
    #[arg(long, short = 'n', default_value_t = LISTED)]
    limit: usize,
}

/// Runs the verb; without one, lists.
pub async fn run(verb: Option<Verb>, list: List, session: &Session) -> Result<()> {
    match verb.unwrap_or(Verb::List(list)) {
        Verb::List(list) => list.run(session).await,
        Verb::Show { deployment } => {
            let path = format!("/deployments/{}", segment(&deployment));
            let found = session.api()?.require(&path).await?;
            session.output.either(&found, |output| show(output, &found))
        }
        Verb::Cancel { deployment } => {
            let path = format!("/deployments/{}/cancel", segment(&deployment));
            let answer = session.api()?.post(&path, &json!({})).await?;
            session.output.either(&answer, |output| output.line(&summary(&answer)))
        }
    }
}

impl List {
    async fn run(self, session: &Session) -> Result<()> {
        let api = session.api()?;
        let path = format!("{}/deployments", project_path(&api, self.project.as_deref()).await?);
        let mut filters = Vec::new();
        filters.extend(self.environment.as_deref().map(|name| ("environment", name)));
        filters.extend(self.status.as_deref().map(|status| ("status", status)));
        let items = api.list(&with_query(&path, &filters), self.limit).await?;
        session.output.either(&json!({"items": items}), |output| {
            output.table(&table(&items), "there are no such deployments");
        })
    }
}

fn table(items: &[Value]) -> Rows {
    let mut rows =
        Rows::new(&["id", "environment", "status", "commit", "trigger", "created", "message"]);
    for item in items {
        let message = text(item, "/message");
        rows.push([
            text(item, "/id"),
            text(item, "/environment"),
            text(item, "/status"),
            short_commit(item, "/commit"),
            text(item, "/trigger"),
            moment(item, "/created_at"),
            message.lines().next().unwrap_or_default().chars().take(50).collect(),
        ]);
    }
    rows
}

/// Name and value of each field that has one.
fn show(output: &Output, deployment: &Value) {
    for (name, pointer) in [
        ("id", "/id"),
        ("status", "/status"),
        ("reason", "/reason/text"),
        ("environment", "/environment"),
        ("commit", "/commit"),
        ("message", "/message"),
        ("trigger", "/trigger"),
        ("build", "/build"),
        ("address", "/address"),
        ("created", "/created_at"),
        ("live", "/live_at"),
        ("finished", "/finished_at"),
    ] {
        let value = match text(deployment, pointer) {
            value if value.is_empty() => value,
            _ if pointer.ends_with("_at") => moment(deployment, pointer),
            value => value,
        };
        if !value.is_empty() {
            output.line(&format!("{name:<12} {value}"));
        }
    }
}
