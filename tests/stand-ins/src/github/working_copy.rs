//! A developer's working copy: real files, real commits, pushed by `git push` and nothing else.
//!
//! The push token stands in the copy's own configuration (`http.<url>.extraHeader`, mode
//! 0600), so that `git -C <copy> push` works as typed and no URL carries a credential.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Error, GitError, Shared, git};

/// A directory with a checkout whose remote is the stand-in.
pub struct WorkingCopy {
    /// Where it lies.
    pub path: PathBuf,
}

impl WorkingCopy {
    /// Makes the copy or takes it as it is; its remote and credential are those of this start.
    pub(crate) async fn open(shared: &Shared, full_name: &str, path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path)?;
        let copy = Self { path: path.canonicalize()? };
        if !copy.path.join(".git").exists() {
            copy.git(&["init", "--quiet", "--initial-branch=main"]).await?;
            for (name, value) in [
                ("user.name", "Octo Cat"),
                ("user.email", "octocat@users.noreply.github.com"),
                ("commit.gpgSign", "false"),
                ("push.default", "current"),
                ("branch.main.remote", "origin"),
                ("branch.main.merge", "refs/heads/main"),
            ] {
                copy.git(&["config", name, value]).await?;
            }
        }
        let config = copy.path.join(".git/config");
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600))?;
        copy.point_at(shared, full_name).await?;
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600))?;
        Ok(copy)
    }

    /// Sets remote and credential; those of earlier starts go.
    async fn point_at(&self, shared: &Shared, full_name: &str) -> Result<(), Error> {
        let pattern = ["config", "--name-only", "--get-regexp", r"^http\..*\.extraheader$"];
        let earlier = self.git(&pattern).await.unwrap_or_default();
        for name in earlier.lines() {
            self.git(&["config", "--unset-all", name]).await?;
        }
        let url = format!("{}/{full_name}.git", shared.base_url);
        self.git(&["config", "remote.origin.url", &url]).await?;
        let fetch = "+refs/heads/*:refs/remotes/origin/*";
        self.git(&["config", "remote.origin.fetch", fetch]).await?;
        let basic = STANDARD.encode(format!("octocat:{}", shared.push_token));
        let name = format!("http.{}/.extraHeader", shared.base_url);
        self.git(&["config", &name, &format!("Authorization: Basic {basic}")]).await?;
        Ok(())
    }

    /// Runs git in the copy.
    ///
    /// # Errors
    /// When git says no.
    pub async fn git(&self, arguments: &[&str]) -> Result<String, Error> {
        Ok(git::run(&self.path, arguments).await?)
    }

    /// The current commit; `None` before the first.
    pub async fn head(&self) -> Option<String> {
        self.git(&["rev-parse", "--verify", "--quiet", "HEAD"]).await.ok()
    }

    /// Writes the files, commits everything, and says which commit it is.
    ///
    /// # Errors
    /// When a path leaves the copy, or git says no.
    pub async fn commit(&self, files: &[(&str, &str)], message: &str) -> Result<String, Error> {
        for (path, content) in files {
            let target = self.inside(Path::new(path))?;
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&target, content)?;
        }
        self.commit_all(message).await
    }

    /// Copies a directory's content in (modes too), and commits it.
    ///
    /// # Errors
    /// As [`WorkingCopy::commit`].
    pub async fn commit_directory(&self, from: &Path, message: &str) -> Result<String, Error> {
        copy_tree(from, &self.path)?;
        self.commit_all(message).await
    }

    async fn commit_all(&self, message: &str) -> Result<String, Error> {
        self.git(&["add", "--all"]).await?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]).await?;
        let missing = || GitError::Refused { command: "commit".into(), said: "no head".into() };
        Ok(self.head().await.ok_or_else(missing)?)
    }

    fn inside(&self, path: &Path) -> Result<PathBuf, Error> {
        if path.components().all(|part| matches!(part, Component::Normal(name) if name != ".git")) {
            Ok(self.path.join(path))
        } else {
            Err(Error::Repository(path.display().to_string()))
        }
    }
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
