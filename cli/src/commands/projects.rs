//! `zeitwork projects`.

use std::io::{IsTerminal, Write};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::api::{Api, segment};
use crate::output::{Output, Rows};
use crate::session::{Session, moment, project_path, text, text_or_dash};

/// What to do with projects.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List projects, newest first.
    List,
    /// Make a project.
    Create(Create),
    /// Show a project with its environments.
    Show {
        /// Slug or id; may be left out where there is only one.
        project: Option<String>,
    },
    /// Delete a project with all its environments.
    Delete {
        /// Slug or id.
        project: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// A project to be made.
#[derive(Debug, Args)]
pub struct Create {
    /// Its name, for people.
    name: String,
    /// Repository on GitHub, as `owner/name`.
    #[arg(long, value_name = "OWNER/NAME", required_unless_present = "url")]
    repository: Option<String>,
    /// Any other repository.
    #[arg(long, conflicts_with = "repository")]
    url: Option<String>,
    /// Unique in the organisation [default: made from the name].
    #[arg(long)]
    slug: Option<String>,
    /// Branch that production follows [default: the repository's].
    #[arg(long)]
    branch: Option<String>,
    /// Directory of the repository that is built.
    #[arg(long)]
    root_directory: Option<String>,
    /// Dockerfile, from the root directory.
    #[arg(long)]
    dockerfile: Option<String>,
}

/// Runs the verb; without one, lists.
pub async fn run(verb: Option<Verb>, session: &Session) -> Result<()> {
    match verb.unwrap_or(Verb::List) {
        Verb::List => list(session).await,
        Verb::Create(create) => create.run(session).await,
        Verb::Show { project } => show(project.as_deref(), session).await,
        Verb::Delete { project, yes } => delete(&project, yes, session).await,
    }
}

async fn list(session: &Session) -> Result<()> {
    let items = session.api()?.list("/projects", usize::MAX).await?;
    session.output.either(&json!({"items": items}), |output| {
        let mut rows = Rows::new(&["slug", "name", "source", "address", "id"]);
        for item in &items {
            rows.push([
                text(item, "/slug"),
                text(item, "/name"),
                source(item),
                text_or_dash(item, "/environments/0/address"),
                text(item, "/id"),
            ]);
        }
        output.table(&rows, "there are no projects yet: `zeitwork projects create` makes one");
    })
}

fn source(project: &Value) -> String {
    let repository = text(project, "/source/repository");
    if repository.is_empty() { text(project, "/source/url") } else { repository }
}

impl Create {
    async fn run(self, session: &Session) -> Result<()> {
        let made = session.api()?.post("/projects", &self.body()).await?;
        session.output.either(&made, |output| {
            output.line(&format!("{}  {}", text(&made, "/slug"), text(&made, "/id")));
            for environment in environments(&made) {
                let (name, address) = (text(environment, "/name"), text(environment, "/address"));
                output.line(&format!("{name}  {address}"));
            }
        })
    }

    /// What was given, and nothing else: the API decides about the rest.
    fn body(&self) -> Value {
        let mut source = match (&self.repository, &self.url) {
            (Some(repository), _) => json!({"kind": "github", "repository": repository}),
            (None, url) => json!({"kind": "git", "url": url}),
        };
        for (name, value) in
            [("root_directory", &self.root_directory), ("dockerfile", &self.dockerfile)]
        {
            if let Some(value) = value {
                source[name] = json!(value);
            }
        }
        let mut body = json!({"name": self.name, "source": source});
        for (name, value) in [("slug", &self.slug), ("branch", &self.branch)] {
            if let Some(value) = value {
                body[name] = json!(value);
            }
        }
        body
    }
}

fn environments(project: &Value) -> impl Iterator<Item = &Value> {
    project.get("environments").and_then(Value::as_array).into_iter().flatten()
}

async fn show(named: Option<&str>, session: &Session) -> Result<()> {
    let api = session.api()?;
    let path = project_path(&api, named).await?;
    let project = api.require(&path).await?;
    let all = api.list(&format!("{path}/environments"), usize::MAX).await?;
    let whole = json!({"project": project, "environments": all});
    session.output.either(&whole, |output| {
        describe(output, &project);
        let mut rows = Rows::new(&["environment", "branch", "replicas", "state", "address"]);
        for item in &all {
            let paused = item.get("paused").and_then(Value::as_bool).unwrap_or_default();
            rows.push([
                text(item, "/name"),
                text_or_dash(item, "/branch"),
                text(item, "/replicas"),
                if paused { "paused" } else { "running" }.to_owned(),
                text_or_dash(item, "/address"),
            ]);
        }
        output.table(&rows, "it has no environments");
    })
}

fn describe(output: &Output, project: &Value) {
    for (name, value) in [
        ("slug", text(project, "/slug")),
        ("name", text(project, "/name")),
        ("id", text(project, "/id")),
        ("source", source(project)),
        ("problem", text(project, "/source/reason/text")),
        ("created", moment(project, "/created_at")),
    ] {
        if !value.is_empty() {
            output.line(&format!("{name:<8} {value}"));
        }
    }
    output.line("");
}

async fn delete(named: &str, yes: bool, session: &Session) -> Result<()> {
    let api = session.api()?;
    let path = format!("/projects/{}", segment(named));
    if !yes {
        confirm(&api, &path, named).await?;
    }
    api.delete(&path).await?;
    session.output.either(&json!({"deleted": named}), |output| {
        output.line(&format!(
            "{named} is deleted; what runs is taken down, then its address is free again"
        ));
    })
}

async fn confirm(api: &Api, path: &str, named: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("add --yes to delete {named} with all its environments");
    }
    let slug = text(&api.require(path).await?, "/slug");
    let mut stderr = std::io::stderr();
    write!(stderr, "Type {slug} to delete it with all its environments: ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim() != slug {
        bail!("nothing was deleted");
    }
    Ok(())
}
