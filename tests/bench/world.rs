//! A project of the application `web`, and its next commits.

use std::path::Path;

use zeitwork_stand_ins::github::Repository;
use zeitwork_tests::Cluster;
use zeitwork_tests::user::{Project, User};

/// A project that is live.
pub struct Live<'a> {
    /// Its owner.
    pub owner: User<'a>,
    /// The project.
    pub project: Project,
    /// Where it is pushed to.
    pub repository: Repository,
    /// What is live.
    pub commit: String,
    version: u32,
}

/// The content of the application.
pub fn web() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("apps/web")
}

/// A project of this name, live.
pub async fn live<'a>(cluster: &'a Cluster, name: &str) -> Live<'a> {
    let full_name = format!("acme/{name}");
    let repository = cluster.github.repository(&full_name).await.unwrap();
    let owner = cluster.owner();
    let project = owner.create_project(name, &full_name).await;
    let commit = repository.commit_directory(&web(), "Open").await.unwrap();
    repository.push().await.unwrap();
    owner.live(&project, &commit).await;
    Live { owner, project, repository, commit, version: 1 }
}

impl Live<'_> {
    /// Makes the next commit and does not push it.
    pub async fn next_commit(&mut self) -> String {
        self.version += 1;
        let version = format!("{}\n", self.version);
        self.commit = self.repository.commit(&[("version", &version)], "Go on").await.unwrap();
        self.commit.clone()
    }
}
