//! `zeitwork env`.

use std::io::{IsTerminal, Read};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeitwork_model::variable::VariableAt;

use crate::api::{segment, with_query};
use crate::output::{Output, Rows};
use crate::session::{Session, moment, project_path, text};

/// What to do with variables.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List variables; secret values are never shown.
    List(Place),
    /// Set a variable.
    Set(Set),
    /// Unset a variable.
    Unset(Unset),
}

/// Where variables stand.
#[derive(Debug, Args)]
pub struct Place {
    /// Slug or id of the project; may be left out where there is only one.
    #[arg(long, short)]
    project: Option<String>,
    /// The one environment that has it [default: all of the project].
    #[arg(long, short)]
    environment: Option<String>,
}

/// A variable to be set.
#[derive(Debug, Args)]
pub struct Set {
    /// NAME=VALUE, or NAME: then the value is read from standard input.
    #[arg(value_name = "NAME[=VALUE]")]
    assignment: String,
    #[command(flatten)]
    place: Place,
    /// Never show the value again, and keep it out of builds.
    #[arg(long)]
    secret: bool,
    /// When it is visible: build, run or both; a secret only at run [default: both].
    #[arg(long)]
    at: Option<VariableAt>,
    /// Deploy what is live again, with it.
    #[arg(long)]
    deploy: bool,
}

/// A variable to be unset.
#[derive(Debug, Args)]
pub struct Unset {
    /// Its name.
    name: String,
    #[command(flatten)]
    place: Place,
    /// Deploy what is live again, without it.
    #[arg(long)]
    deploy: bool,
}

/// Runs the verb.
pub async fn run(verb: Verb, session: &Session) -> Result<()> {
    match verb {
        Verb::List(place) => list(&place, session).await,
        Verb::Set(set) => set.run(session).await,
        Verb::Unset(unset) => unset.run(session).await,
    }
}

async fn list(place: &Place, session: &Session) -> Result<()> {
    let api = session.api()?;
    let project = project_path(&api, place.project.as_deref()).await?;
    let environments = api.list(&format!("{project}/environments"), usize::MAX).await?;
    let name_of = |id: &str| {
        let found = environments.iter().find(|it| text(it, "/id") == id);
        found.map_or_else(|| id.to_owned(), |it| text(it, "/name"))
    };
    let mut items = api.list(&format!("{project}/variables"), usize::MAX).await?;
    if let Some(wanted) = &place.environment {
        // What that environment sees: its own, and those of the whole project.
        items.retain(|item| {
            let id = text(item, "/environment");
            id.is_empty() || id == *wanted || name_of(&id) == *wanted
        });
    }
    session.output.either(&json!({"items": items}), |output| {
        let mut rows = Rows::new(&["name", "value", "at", "environment", "updated"]);
        for item in &items {
            rows.push([
                text(item, "/name"),
                shown_value(item),
                text(item, "/at"),
                match text(item, "/environment") {
                    id if id.is_empty() => "all".to_owned(),
                    id => name_of(&id),
                },
                moment(item, "/updated_at"),
            ]);
        }
        output.table(&rows, "there are no variables");
    })
}

fn shown_value(variable: &Value) -> String {
    let secret = variable.get("secret").and_then(Value::as_bool).unwrap_or_default();
    if secret { "(secret)".to_owned() } else { text(variable, "/value") }
}

impl Set {
    async fn run(self, session: &Session) -> Result<()> {
        let api = session.api()?;
        let (name, value) = match self.assignment.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (self.assignment.clone(), read_value(&session.output, &self.assignment)?),
        };
        let project = project_path(&api, self.place.project.as_deref()).await?;
        let mut body = json!({"value": value, "secret": self.secret});
        if let Some(environment) = &self.place.environment {
            body["environment"] = json!(environment);
        }
        if let Some(at) = self.at {
            body["at"] = json!(at);
        }
        let path = format!("{project}/variables/{}", segment(&name));
        let answer = api.put(&with_query(&path, &deploys(self.deploy)), &body).await?;
        said(session, &answer, &name, "is set", self.deploy)
    }
}

impl Unset {
    async fn run(self, session: &Session) -> Result<()> {
        let api = session.api()?;
        let project = project_path(&api, self.place.project.as_deref()).await?;
        let mut query = deploys(self.deploy);
        query.extend(self.place.environment.as_deref().map(|name| ("environment", name)));
        let path = format!("{project}/variables/{}", segment(&self.name));
        let answer = api.delete(&with_query(&path, &query)).await?;
        said(session, &answer, &self.name, "is unset", self.deploy)
    }
}

fn deploys(deploy: bool) -> Vec<(&'static str, &'static str)> {
    if deploy { vec![("deploy", "true")] } else { Vec::new() }
}

fn said(session: &Session, answer: &Value, name: &str, done: &str, deploy: bool) -> Result<()> {
    let answer = if answer.is_null() { &json!({"name": name}) } else { answer };
    session.output.either(answer, |output| {
        let then = if deploy { "and deployed" } else { "for deployments from now on" };
        output.line(&format!("{name} {done}, {then}"));
    })
}

/// The value from standard input, without the line end that an editor or `echo` adds.
fn read_value(output: &Output, name: &str) -> Result<String> {
    if std::io::stdin().is_terminal() {
        output.step(&format!("value of {name}, ended by Ctrl-D:"));
    }
    let mut value = String::new();
    std::io::stdin().read_to_string(&mut value).context("the value on standard input")?;
    let value = value.strip_suffix('\n').unwrap_or(&value);
    Ok(value.strip_suffix('\r').unwrap_or(value).to_owned())
}
