//! The gates of the repository, each a subcommand: `cargo xtask check` runs them all.
//!
//! A gate prints what it found and ends with an error when something must be mended. It never
//! mends by itself, except `sqlx`, `openapi` and `scenarios` without `--check`, which regenerate files.
#![allow(clippy::print_stdout, reason = "a developer's tool speaks on its standard output")]

mod check;
mod command;
mod coverage;
mod edges;
mod licences;
mod metadata;
mod named;
mod openapi;
mod phrases;
mod postgres;
mod scenarios;
mod sizes;
mod sources;
mod sqlx;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Gates and generated files of the Zeitwork repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    gate: Gate,
}

#[derive(Subcommand)]
enum Gate {
    /// Every gate, as `make check` and `make test` run them
    Check,
    /// Files of at most 500 lines, functions of at most 60
    Sizes,
    /// Crates depend on each other only where the architecture says so
    Edges,
    /// Licences, banned crates and known advisories of everything that we link
    Licences,
    /// Words that do not belong into the sources: unchecked SQL, shells, left-over notes
    Phrases,
    /// Query data in shared/database/.sqlx, from the migrations on a private PostgreSQL
    Sqlx {
        /// Compare with what is committed instead of writing it
        #[arg(long)]
        check: bool,
    },
    /// The API's description in api/openapi.json
    Openapi {
        /// Compare with what is committed instead of writing it
        #[arg(long)]
        check: bool,
    },
    /// Operations, reconcilers and verbs of the command line are named by tests
    Named,
    /// What the planner does in the texts of operator/planning/scenarios
    Scenarios {
        /// Compare with what is committed instead of writing it
        #[arg(long)]
        check: bool,
    },
    /// Lines that the tests reach (no gate)
    Coverage,
}

fn main() -> ExitCode {
    if let Some(done) = coverage::as_wrapper() {
        return done;
    }
    match run(&Arguments::parse().gate) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(gate: &Gate) -> anyhow::Result<()> {
    let root = sources::root()?;
    match gate {
        Gate::Check => check::run(&root),
        Gate::Sizes => sizes::run(&root),
        Gate::Edges => edges::run(&root),
        Gate::Licences => licences::run(&root),
        Gate::Phrases => phrases::run(&root),
        Gate::Sqlx { check: false } => sqlx::regenerate(&root),
        Gate::Sqlx { check: true } => sqlx::verify(&root),
        Gate::Openapi { check: false } => openapi::regenerate(&root),
        Gate::Openapi { check: true } => openapi::verify(&root),
        Gate::Scenarios { check: false } => scenarios::regenerate(&root),
        Gate::Scenarios { check: true } => scenarios::verify(&root),
        Gate::Named => named::run(&root),
        Gate::Coverage => coverage::run(&root),
    }
}
