//! What a user does and sees.

mod alerts;
mod cancel;
mod cli;
mod cli_backup;
mod cli_up;
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

use zeitwork_stand_ins::github::Repository;
use zeitwork_tests::Cluster;
use zeitwork_tests::user::{Project, User};

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
