//! The demonstration for `make up`: a repository on the stand-in and a working copy to push from.

use std::path::{Path, PathBuf};

use crate::github::{Error, Github, WorkingCopy};

/// Where the demonstration lies.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Sample {
    /// `owner/name`, for `POST /projects`.
    pub repository: String,
    /// For `git -C <working copy> push`.
    pub working_copy: PathBuf,
    /// The commit that a push sends.
    pub commit: String,
}

/// Makes the repository and the working copy with the sample's first commit, or finds them as
/// they are and points the copy at this start's port. Nothing is pushed.
///
/// # Errors
/// When git or the file system says no.
pub async fn prepare(
    github: &Github,
    full_name: &str,
    source: &Path,
    working_copy: &Path,
) -> Result<Sample, Error> {
    github.ensure_repository(full_name).await?;
    let copy = WorkingCopy::open(github.shared(), full_name, working_copy).await?;
    let commit = match copy.head().await {
        Some(commit) => commit,
        None => copy.commit_directory(source, "Say hello").await?,
    };
    Ok(Sample { repository: full_name.to_owned(), working_copy: copy.path, commit })
}
