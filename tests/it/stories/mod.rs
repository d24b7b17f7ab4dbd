//! What a user does and sees.

mod alerts;
mod cancel;
mod cli;
mod cli_backup;
mod cli_up;
mod daemons;
mod installations;
mod isolation;
mod neighbours;
mod never_dark;
mod push;
mod rollback;
mod secrets;
mod steps;
mod streams;
mod tenancy;
mod unit;
mod up;
mod upgrades;
mod verbs;

use std::path::Path;

use nix::unistd::Pid;
use zeitwork_stand_ins::github::Repository;
use zeitwork_tests::process::{self, Part};
use zeitwork_tests::user::{LIVE_LIMIT, Project, User};
use zeitwork_tests::{Cluster, eventually};

/// A directory of `tests/apps`.
pub fn app(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("apps").join(name)
}

/// A project whose repository holds the application `web`, live.
pub async fn live_project<'a>(
    cluster: &'a Cluster,
    repository: &str,
) -> (User<'a>, Project, Repository, String) {
    let repository_handle = cluster.github.repository(repository).await.unwrap();
    let owner = cluster.owner();
    let name = repository.rsplit('/').next().unwrap();
    let project = owner.create_project(name, repository).await;
    let commit = repository_handle.commit_directory(&app("web"), "Open").await.unwrap();
    repository_handle.push().await.unwrap();
    owner.live(&project, &commit).await;
    (owner, project, repository_handle, commit)
}

/// Processes of an instance: what its container began with, and its servers without those that
/// they fork to answer.
pub fn processes(instance: &str) -> Vec<Pid> {
    let marked = format!("ZEITWORK_INSTANCE={instance}\0");
    process::roots(&process::with(Part::Environment, &marked))
        .into_iter()
        .chain(servers(instance))
        .collect()
}

/// The servers of an instance of the application `web`.
pub fn servers(instance: &str) -> Vec<Pid> {
    let marked = format!("ZEITWORK_INSTANCE={instance}\0");
    let of_instance = process::with(Part::Environment, &marked);
    let mut servers = process::with(Part::Command, "httpd\0-f");
    servers.retain(|pid| of_instance.contains(pid));
    process::roots(&servers)
}

/// A command that no other process of this host runs, as the kernel shows it.
pub fn own_sleep(seconds: u32) -> String {
    format!("sleep\0{}.5\0", seconds + std::process::id())
}

/// Waits until somebody runs this command.
pub async fn wait_for(command: &str) {
    eventually("the process sleeps", LIVE_LIMIT, || async {
        let sleeping = !process::with(Part::Command, command).is_empty();
        if sleeping { Ok(()) } else { Err("no process".to_owned()) }
    })
    .await;
}
