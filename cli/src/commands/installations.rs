//! `zeitwork installations`.

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::api::Api;
use crate::output::Rows;
use crate::session::{Session, moment, text};

/// What to do with installations of the GitHub App.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List installations and who has them.
    List,
    /// Give an installation to an organisation.
    Assign {
        /// GitHub's number of the installation.
        installation: i64,
        /// Slug or id of the organisation.
        #[arg(long)]
        organisation: String,
    },
    /// Take an installation from the organisation that has it; GitHub is not told.
    Release {
        /// GitHub's number of the installation.
        installation: i64,
    },
}

/// Runs the verb; without one, lists.
pub async fn run(verb: Option<Verb>, session: &Session) -> Result<()> {
    let api = session.api()?;
    match verb.unwrap_or(Verb::List) {
        Verb::List => list(session, &api).await,
        Verb::Assign { installation, organisation } => {
            let body = json!({"organisation": organisation});
            let path = format!("/github/installations/{installation}");
            let given = api.put(&path, &body).await?;
            session.output.either(&given, |output| {
                let account = text(&given, "/account");
                output.line(&format!("{installation} ({account}) belongs to {organisation} now"));
            })
        }
        Verb::Release { installation } => {
            api.delete(&format!("/github/installations/{installation}")).await?;
            session.output.either(&json!({"released": installation}), |output| {
                output.line(&format!("{installation} belongs to nobody now"));
            })
        }
    }
}

async fn list(session: &Session, api: &Api) -> Result<()> {
    let items = api.list("/github/installations", usize::MAX).await?;
    let organisations = api.list("/organisations", usize::MAX).await?;
    let holder = |item: &Value| {
        let id = text(item, "/organisation_id");
        let found = organisations.iter().find(|it| text(it, "/id") == id);
        found.map_or_else(|| "-".to_owned(), |it| text(it, "/slug"))
    };
    session.output.either(&json!({"items": items}), |output| {
        let mut rows = Rows::new(&["id", "account", "organisation", "suspended", "known since"]);
        for item in &items {
            let suspended = item.get("suspended").and_then(Value::as_bool).unwrap_or_default();
            rows.push([
                text(item, "/id"),
                text(item, "/account"),
                holder(item),
                if suspended { "yes" } else { "no" }.to_owned(),
                moment(item, "/created_at"),
            ]);
        }
        output.table(&rows, "the GitHub App is installed nowhere yet, as far as GitHub has told");
    })
}
