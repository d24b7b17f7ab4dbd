//! `zeitwork rollback`.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::follow::Waiting;
use crate::session::{Session, Target};

/// Options of `zeitwork rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    #[command(flatten)]
    target: Target,
    /// Id of the deployment to go back to [default: the one that was live before].
    #[arg(long, value_name = "DEPLOYMENT")]
    to: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
}

impl Rollback {
    /// Wishes for the older deployment.
    pub async fn run(self, session: &Session) -> Result<()> {
        let api = session.api()?;
        let path = format!("{}/rollback", self.target.path(&api).await?);
        let wish = match &self.to {
            Some(deployment) => json!({"deployment": deployment}),
            None => json!({}),
        };
        let deployment = api.post(&path, &wish).await?;
        self.waiting.finish(session, &api, deployment).await
    }
}
