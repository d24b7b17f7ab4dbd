//! `zeitwork redeploy`.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::follow::Waiting;
use crate::session::{Session, Target};

/// Options of `zeitwork redeploy`.
#[derive(Debug, Args)]
pub struct Redeploy {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    waiting: Waiting,
}

impl Redeploy {
    /// Wishes for the live commit again, with the variables and settings of now.
    pub async fn run(self, session: &Session) -> Result<()> {
        let api = session.api()?;
        let path = format!("{}/redeploy", self.target.path(&api).await?);
        let deployment = api.post(&path, &json!({})).await?;
        self.waiting.finish(session, &api, deployment).await
    }
}
