//! One file for each verb.

mod backup;
mod completions;
mod deploy;
mod deployments;
mod doctor;
mod env;
mod follow;
mod installations;
mod keys;
mod logs;
mod migrate;
mod nodes;
mod owner;
mod pause;
mod projects;
mod redeploy;
mod rollback;
mod scale;
mod status;
mod up;

use anyhow::Result;
use clap::Subcommand;

use crate::session::{Session, Target};

/// What the CLI can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole platform on this host until Ctrl-C.
    Up(up::Up),
    /// Say what is wrong with this host or its settings, and what to do about it.
    Doctor,
    /// Bring the database schema up to date.
    Migrate,
    /// Show whether the platform is ready, its nodes, and what is live.
    Status,
    /// List, make, show and delete projects.
    Projects {
        #[command(subcommand)]
        verb: Option<projects::Verb>,
    },
    /// Deploy a branch, a tag or a commit.
    Deploy(deploy::Deploy),
    /// List, show and cancel deployments.
    #[command(args_conflicts_with_subcommands = true)]
    Deployments {
        #[command(subcommand)]
        verb: Option<deployments::Verb>,
        #[command(flatten)]
        list: deployments::List,
    },
    /// Show what an environment, a deployment or a build wrote.
    Logs(logs::Logs),
    /// Make an older deployment live again.
    Rollback(rollback::Rollback),
    /// Deploy what is live again, with the variables of now.
    Redeploy(redeploy::Redeploy),
    /// Change how many instances run.
    Scale(scale::Scale),
    /// Freeze all instances of an environment; its address answers 503.
    Pause(Target),
    /// Start a paused environment again.
    Resume(Target),
    /// List, set and unset variables.
    Env {
        #[command(subcommand)]
        verb: env::Verb,
    },
    /// List nodes, and keep work away from them.
    Nodes {
        #[command(subcommand)]
        verb: Option<nodes::Verb>,
    },
    /// List, make and revoke API keys.
    #[command(args_conflicts_with_subcommands = true)]
    Keys {
        #[command(subcommand)]
        verb: Option<keys::Verb>,
        #[command(flatten)]
        list: keys::Place,
    },
    /// List installations of the GitHub App, and give them to organisations.
    Installations {
        #[command(subcommand)]
        verb: Option<installations::Verb>,
    },
    /// Write, check and restore backups of the platform on this host.
    Backup {
        #[command(subcommand)]
        verb: backup::Verb,
    },
    /// The platform's owner.
    Owner {
        #[command(subcommand)]
        verb: owner::Verb,
    },
    /// Print what a shell needs to complete the arguments of this program.
    Completions(completions::Completions),
}

impl Command {
    /// Whether the verb itself says what is wrong in the settings.
    pub fn judges_settings(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Doctor)
    }
}

/// Runs a verb.
pub async fn run(command: Command, session: &Session) -> Result<()> {
    match command {
        Command::Up(up) => up.run(&session.output).await,
        Command::Doctor => doctor::run(session).await,
        Command::Migrate => migrate::run(&session.output).await,
        Command::Status => status::run(session).await,
        Command::Projects { verb } => projects::run(verb, session).await,
        Command::Deploy(deploy) => deploy.run(session).await,
        Command::Deployments { verb, list } => deployments::run(verb, list, session).await,
        Command::Logs(logs) => logs.run(session).await,
        Command::Rollback(rollback) => rollback.run(session).await,
        Command::Redeploy(redeploy) => redeploy.run(session).await,
        Command::Scale(scale) => scale.run(session).await,
        Command::Pause(target) => pause::pause(&target, session).await,
        Command::Resume(target) => pause::resume(&target, session).await,
        Command::Env { verb } => env::run(verb, session).await,
        Command::Nodes { verb } => nodes::run(verb, session).await,
        Command::Keys { verb, list } => keys::run(verb, list, session).await,
        Command::Installations { verb } => installations::run(verb, session).await,
        Command::Backup { verb } => backup::run(&verb, session).await,
        Command::Owner { verb } => owner::run(&verb, session).await,
        Command::Completions(completions) => completions.run(session),
    }
}
