//! `zeitwork keys`.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use zeitwork_model::scope::Scope;

use crate::api::{Api, segment};
use crate::output::Rows;
use crate::session::{Session, moment, text};

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List keys, without the keys themselves.
    List(Place),
    /// Make a key and print it, this once.
    Create {
        /// Its name, for people.
        name: String,
        /// What it may do: read, write, admin or platform; each includes those before it.
        #[arg(long, default_value_t = Scope::Write)]
        scope: Scope,
        #[command(flatten)]
        place: Place,
    },
    /// Revoke a key; it is refused at once.
    Revoke {
        /// Its id.
        key: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Whose keys.
#[derive(Debug, Args)]
pub struct Place {
    /// Slug or id of the organisation; may be left out where there is only one.
    #[arg(long)]
    organisation: Option<String>,
}

/// Runs the verb; without one, lists.
pub async fn run(verb: Option<Verb>, place: Place, session: &Session) -> Result<()> {
    let api = session.api()?;
    match verb.unwrap_or(Verb::List(place)) {
        Verb::List(place) => list(session, &api, &place).await,
        Verb::Create { name, scope, place } => {
            let body = json!({"name": name, "scope": scope});
            let made = api.post(&place.path(&api).await?, &body).await?;
            session.output.either(&made, |output| {
                output.step("keep it safe: it cannot be shown again");
                output.line(&text(&made, "/key"));
            })
        }
        Verb::Revoke { key, place } => {
            let path = format!("{}/{}", place.path(&api).await?, segment(&key));
            api.delete(&path).await?;
            session.output.either(&json!({"revoked": key}), |output| {
                output.line(&format!("{key} is revoked"));
            })
        }
    }
}

impl Place {
    /// `/organisations/{organisation}/api-keys`.
    async fn path(&self, api: &Api) -> Result<String> {
        let organisation = match &self.organisation {
            Some(named) => named.clone(),
            None => only_organisation(api).await?,
        };
        Ok(format!("/organisations/{}/api-keys", segment(&organisation)))
    }
}

async fn only_organisation(api: &Api) -> Result<String> {
    let all = api.list("/organisations", usize::MAX).await?;
    match all.as_slice() {
        [only] => Ok(text(only, "/id")),
        several => {
            let names: Vec<String> = several.iter().map(|it| text(it, "/slug")).collect();
            bail!("name one of the organisations with --organisation: {}", names.join(", "))
        }
    }
}

async fn list(session: &Session, api: &Api, place: &Place) -> Result<()> {
    let items = api.list(&place.path(api).await?, usize::MAX).await?;
    session.output.either(&json!({"items": items}), |output| {
        let mut rows =
            Rows::new(&["id", "name", "prefix", "scope", "last used", "expires", "revoked"]);
        for item in &items {
            rows.push([
                text(item, "/id"),
                text(item, "/name"),
                text(item, "/prefix"),
                text(item, "/scope"),
                moment(item, "/last_used_at"),
                moment(item, "/expires_at"),
                moment(item, "/revoked_at"),
            ]);
        }
        output.table(&rows, "there are no keys");
    })
}
