//! `zeitwork-stand-ins`: the stand-ins as programs, for `make up`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use zeitwork_stand_ins::github::{Github, Options};
use zeitwork_stand_ins::{busybox, private_file, sample};

/// Stand-ins for the outside world.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// GitHub on a loopback port, until SIGINT or SIGTERM.
    Github(GithubArguments),
    /// Makes sure that the image busybox:latest is on the engine.
    Busybox {
        /// The engine's socket.
        #[arg(long, default_value = "/var/run/docker.sock")]
        engine: PathBuf,
    },
}

#[derive(Args)]
struct GithubArguments {
    /// Where repositories, numbers and the App's key are kept; `github.json` is written there.
    #[arg(long)]
    state: PathBuf,
    /// Where webhooks go.
    #[arg(long)]
    webhook_url: String,
    /// A directory whose content becomes the first commit of the demonstration.
    #[arg(long, requires = "working_copy")]
    sample: Option<PathBuf>,
    /// The demonstration's repository.
    #[arg(long, default_value = "acme/hello")]
    repository: String,
    /// Where the demonstration is pushed from.
    #[arg(long, requires = "sample")]
    working_copy: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Github(arguments) => github(arguments).await,
        Command::Busybox { engine } => {
            let source = busybox::ensure(&engine).await?;
            say(&format!("busybox:latest {}", format!("{source:?}").to_lowercase()))
        }
    }
}

async fn github(arguments: GithubArguments) -> anyhow::Result<()> {
    // Whoever waits for the file must not find the one of an earlier start.
    let file = arguments.state.join("github.json");
    fs::create_dir_all(&arguments.state)?;
    if file.exists() {
        fs::remove_file(&file)?;
    }
    let github = Github::start(Options {
        state: Some(arguments.state.clone()),
        webhook_url: Some(arguments.webhook_url),
        ..Options::default()
    })
    .await?;
    let demonstration = match (&arguments.sample, &arguments.working_copy) {
        (Some(source), Some(copy)) => {
            Some(sample::prepare(&github, &arguments.repository, source, copy).await?)
        }
        _ => None,
    };
    announce(&file, &github, demonstration.as_ref())?;
    say(&format!("github   {}", github.url()))?;
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    fs::remove_file(&file).context("github.json is gone")
}

/// Writes `github.json` (mode 0600: it holds the secrets of this start).
fn announce(
    file: &Path,
    github: &Github,
    demonstration: Option<&sample::Sample>,
) -> anyhow::Result<()> {
    let content = json!({
        "url": github.url(),
        "api_url": github.api_url(),
        "app_id": github.app_id(),
        "private_key_file": github.private_key_file(),
        "webhook_secret": github.webhook_secret(),
        "push_token": github.push_token(),
        "insecure_host": github.address.to_string(),
        "sample": demonstration,
    });
    private_file::write(file, &serde_json::to_vec_pretty(&content)?).context("github.json")
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
