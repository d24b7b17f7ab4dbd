//! `zeitwork scale`.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::session::{Session, Target};

/// Options of `zeitwork scale`.
#[derive(Debug, Args)]
pub struct Scale {
    /// How many instances.
    #[arg(value_parser = clap::value_parser!(u32).range(0..=100))]
    replicas: u32,
    #[command(flatten)]
    target: Target,
    /// Which process.
    #[arg(long, default_value = "web")]
    process: String,
}

impl Scale {
    /// Says how many are wanted; the platform does the rest.
    pub async fn run(self, session: &Session) -> Result<()> {
        let api = session.api()?;
        let path = format!("{}/scale", self.target.path(&api).await?);
        let wish = json!({"process": self.process, "replicas": self.replicas});
        let answer = api.post(&path, &wish).await?;
        session.output.either(&answer, |output| {
            output.line(&format!(
                "{}: {} × {} wanted",
                self.target.environment, self.process, self.replicas
            ));
        })
    }
}
