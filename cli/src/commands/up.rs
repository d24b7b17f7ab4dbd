//! `zeitwork up`.

use std::io::IsTerminal;

use anyhow::Result;
use clap::Args;

use crate::output::Output;
use crate::supervise::{self, Choices};

/// Options of `zeitwork up`; everything else is set by `ZEITWORK_…` variables or the file that
/// `ZEITWORK_CONFIG` names.
#[derive(Debug, Args)]
pub struct Up {
    /// Start a stand-in for GitHub on a loopback port and deploy the sample project by a push.
    #[arg(long)]
    demo: bool,
    /// Leave instances running when this command ends; the next start adopts them.
    #[arg(long)]
    detach_instances: bool,
}

impl Up {
    /// Runs until SIGINT or SIGTERM.
    pub async fn run(self, output: &Output) -> Result<()> {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .with_max_level(tracing::Level::INFO)
            .compact()
            .init();
        let choices = Choices { demo: self.demo, detach_instances: self.detach_instances };
        supervise::up(choices, output).await
    }
}
