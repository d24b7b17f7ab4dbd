//! `zeitwork nodes`.

use anyhow::{Result, bail};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::api::{Api, segment};
use crate::output::Rows;
use crate::session::{Session, moment, text};

/// What to do with nodes.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List nodes.
    List,
    /// Give a node nothing new.
    Cordon {
        /// Name or id.
        node: String,
    },
    /// Give a node work again.
    Uncordon {
        /// Name or id.
        node: String,
    },
    /// Move everything away from a node.
    Drain {
        /// Name or id.
        node: String,
    },
}

/// Runs the verb; without one, lists.
pub async fn run(verb: Option<Verb>, session: &Session) -> Result<()> {
    match verb.unwrap_or(Verb::List) {
        Verb::List => list(session).await,
        Verb::Cordon { node } => change(session, &node, "cordon").await,
        Verb::Uncordon { node } => change(session, &node, "uncordon").await,
        Verb::Drain { node } => change(session, &node, "drain").await,
    }
}

async fn list(session: &Session) -> Result<()> {
    let items = session.api()?.list("/nodes", usize::MAX).await?;
    session.output.either(&json!({"items": items}), |output| {
        output.table(&table(&items), "no node has joined yet");
    })
}

/// Nodes as people look at them.
pub fn table(items: &[Value]) -> Rows {
    let mut rows = Rows::new(&["node", "status", "builds", "reported", "problems", "id"]);
    for item in items {
        let builds = item.get("builder").and_then(Value::as_bool).unwrap_or_default();
        rows.push([
            text(item, "/name"),
            text(item, "/status"),
            if builds { "yes" } else { "no" }.to_owned(),
            moment(item, "/reported_at"),
            problems(item),
            text(item, "/id"),
        ]);
    }
    rows
}

fn problems(node: &Value) -> String {
    let of = |problem: &Value| match text(problem, "/text") {
        text if text.is_empty() => {
            problem.as_str().map_or_else(|| problem.to_string(), str::to_owned)
        }
        text => text,
    };
    let all = node.get("problems").and_then(Value::as_array).into_iter().flatten();
    let all: Vec<String> = all.map(of).collect();
    if all.is_empty() { "-".to_owned() } else { all.join("; ") }
}

async fn change(session: &Session, named: &str, verb: &str) -> Result<()> {
    let api = session.api()?;
    let id = id_of(&api, named).await?;
    let answer = api.post(&format!("/nodes/{}/{verb}", segment(&id)), &json!({})).await?;
    session.output.either(&answer, |output| {
        output.line(&format!("{named}  {}", text(&answer, "/status")));
    })
}

async fn id_of(api: &Api, named: &str) -> Result<String> {
    let nodes = api.list("/nodes", usize::MAX).await?;
    let found = nodes.iter().find(|it| text(it, "/id") == named || text(it, "/name") == named);
    if let Some(node) = found {
        Ok(text(node, "/id"))
    } else {
        let names: Vec<String> = nodes.iter().map(|node| text(node, "/name")).collect();
        bail!("there is no node {named}; there are: {}", names.join(", "))
    }
}
