//! `zeitwork deploy`.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::follow::Waiting;
use crate::session::{Session, Target, text};

/// Options of `zeitwork deploy`.
#[derive(Debug, Args)]
pub struct Deploy {
    #[command(flatten)]
    target: Target,
    /// Branch or tag [default: the environment's branch, else the repository's].
    #[arg(long = "ref", value_name = "BRANCH|TAG")]
    reference: Option<String>,
    /// Full commit id.
    #[arg(long, conflicts_with = "reference")]
    commit: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
}

impl Deploy {
    /// Wishes for the deployment.
    pub async fn run(self, session: &Session) -> Result<()> {
        let api = session.api()?;
        let project = self.target.project_path(&api).await?;
        let mut wish = json!({"environment": self.target.environment});
        match (&self.commit, &self.reference) {
            (Some(commit), _) => wish["commit"] = json!(commit),
            (None, Some(reference)) => wish["ref"] = json!(reference),
            (None, None) => {
                let path = self.target.path(&api).await?;
                let environment = api.require(&path).await?;
                wish["ref"] = json!(branch_of(&environment));
            }
        }
        let deployment = api.post(&format!("{project}/deployments"), &wish).await?;
        self.waiting.finish(session, &api, deployment).await
    }
}

/// The branch that an environment follows; git's own word for the default one.
fn branch_of(environment: &Value) -> String {
    match text(environment, "/branch") {
        branch if branch.is_empty() || branch.contains('*') => "HEAD".to_owned(),
        branch => branch,
    }
}
