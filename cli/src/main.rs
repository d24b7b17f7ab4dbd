//! `zeitwork`: the platform on this host, and the API from a terminal.

mod api;
mod commands;
mod output;
mod session;
mod supervise;

use std::process::ExitCode;

use clap::Parser;
use zeitwork_runtime::config::Sources;

use crate::commands::Command;
use crate::output::{Format, Output};
use crate::session::Session;

/// Heading of what every verb takes, so that its own options stand together.
const EVERYWHERE: &str = "Options of every verb";

/// The self-hosted platform: push a commit, see it live.
#[derive(Debug, Parser)]
#[command(name = "zeitwork", version, max_term_width = 100)]
struct Cli {
    /// Whether results are text for people or JSON for programs.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    #[arg(help_heading = EVERYWHERE)]
    output: Format,
    /// Where the API is [default: `ZEITWORK_API_URL`, else the platform on this host].
    #[arg(long, global = true, value_name = "URL", help_heading = EVERYWHERE)]
    api_url: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    zeitwork_outbound::install_crypto_provider();
    let output = Output::new(cli.output);
    let session = Session::new(Sources::of_environment(), cli.api_url.as_deref(), output);
    if !cli.command.judges_settings() {
        session.warn_of_unknown();
    }
    match commands::run(cli.command, &session).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.step(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests;
