//! A repository and a working copy of its own, for tests that act as a developer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::working_copy::WorkingCopy;
use super::{Error, Event, Shared, git, shape};
use crate::world_clock;

/// A repository on the stand-in; its working copy goes with it.
pub struct Repository {
    /// GitHub's number for it.
    pub id: u64,
    /// The number of the installation that includes it.
    pub installation: u64,
    /// `owner/name`.
    pub full_name: String,
    /// What one clones: `http://…/owner/name.git`.
    pub clone_url: String,
    /// What the developer edits.
    pub copy: WorkingCopy,
    shared: Arc<Shared>,
    _directory: TempDir,
}

impl Repository {
    pub(crate) async fn open(
        shared: &Arc<Shared>,
        full_name: &str,
        private: bool,
    ) -> Result<Self, Error> {
        let id = ensure(shared, full_name, private).await?;
        let directory = tempfile::tempdir()?;
        let copy = WorkingCopy::open(shared, full_name, directory.path()).await?;
        let world = shared.world();
        let row = world.repositories.iter().find(|row| row.id == id);
        let account = row.and_then(|row| world.account(&row.owner));
        let account = account.ok_or_else(|| Error::Repository(full_name.to_owned()))?;
        Ok(Self {
            id,
            installation: account.installation,
            full_name: full_name.to_owned(),
            clone_url: format!("{}/{full_name}.git", shared.base_url),
            copy,
            shared: Arc::clone(shared),
            _directory: directory,
        })
    }

    /// Writes the files, commits everything on the current branch, and says which commit it is.
    ///
    /// # Errors
    /// When a path leaves the working copy, or git says no (nothing changed, for one).
    pub async fn commit(&self, files: &[(&str, &str)], message: &str) -> Result<String, Error> {
        self.copy.commit(files, message).await
    }

    /// Copies a directory's content in, and commits it.
    ///
    /// # Errors
    /// As [`Repository::commit`].
    pub async fn commit_directory(&self, from: &Path, message: &str) -> Result<String, Error> {
        self.copy.commit_directory(from, message).await
    }

    /// Switches to the branch, made at the current commit if it is new.
    ///
    /// # Errors
    /// When git says no.
    pub async fn switch(&self, branch: &str) -> Result<(), Error> {
        self.copy.git(&["switch", "--quiet", "--force-create", branch]).await.map(drop)
    }

    /// Goes back to an earlier commit, on the same branch.
    ///
    /// # Errors
    /// When git says no.
    pub async fn reset(&self, commit: &str) -> Result<(), Error> {
        self.copy.git(&["reset", "--quiet", "--hard", commit]).await.map(drop)
    }

    /// `git push` of the current branch.
    ///
    /// # Errors
    /// When the push is refused.
    pub async fn push(&self) -> Result<(), Error> {
        self.copy.git(&["push", "--quiet", "origin", "HEAD"]).await.map(drop)
    }

    /// `git push --force` of the current branch.
    ///
    /// # Errors
    /// When the push is refused.
    pub async fn force_push(&self) -> Result<(), Error> {
        self.copy.git(&["push", "--quiet", "--force", "origin", "HEAD"]).await.map(drop)
    }

    /// Removes the branch from the stand-in.
    ///
    /// # Errors
    /// When the push is refused.
    pub async fn delete_branch(&self, branch: &str) -> Result<(), Error> {
        self.copy.git(&["push", "--quiet", "--delete", "origin", branch]).await.map(drop)
    }

    /// Gives the repository another name, or another owner with it; the App is told. The old name
    /// leads nowhere: GitHub's own redirects are not played.
    ///
    /// # Errors
    /// When the name is no `owner/name`, the world cannot be saved, or git says no.
    pub async fn rename(&mut self, full_name: &str) -> Result<(), Error> {
        let wrong = || Error::Repository(full_name.to_owned());
        let (owner, name) = full_name.split_once('/').ok_or_else(wrong)?;
        let event = {
            let mut world = self.shared.world();
            let moves = world.move_repository(self.id, owner, name)?;
            let row = world.repositories.iter().find(|row| row.id == self.id).ok_or_else(wrong)?;
            let account = world.account(owner).ok_or_else(wrong)?;
            self.installation = account.installation;
            let payload = serde_json::json!({
                "action": if moves { "transferred" } else { "renamed" },
                "repository": shape::repository(&self.shared, row, account),
                "installation": {"id": account.installation},
                "sender": shape::user(&self.shared, shape::PUSHER, shape::PUSHER_ID, "User"),
            });
            Event::new("repository", payload)?
        };
        self.clone_url = self.clone_url.replace(&self.full_name, full_name);
        full_name.clone_into(&mut self.full_name);
        let url = self.copy.git(&["remote", "get-url", "origin"]).await?;
        let (base, _) = url.trim().rsplit_once('/').ok_or_else(wrong)?;
        let (base, _) = base.rsplit_once('/').ok_or_else(wrong)?;
        let url = format!("{base}/{full_name}.git");
        self.copy.git(&["remote", "set-url", "origin", &url]).await?;
        self.shared.emit(event);
        Ok(())
    }

    /// Takes the repository out of the installation, or in again.
    ///
    /// # Errors
    /// When the world cannot be saved.
    pub fn select(&self, selected: bool) -> Result<(), Error> {
        let mut world = self.shared.world();
        for row in world.repositories.iter_mut().filter(|row| row.id == self.id) {
            row.selected = selected;
        }
        Ok(world.save()?)
    }
}

/// The repository's number; made if nobody has it.
pub(crate) async fn ensure(shared: &Shared, full_name: &str, private: bool) -> Result<u64, Error> {
    let wrong = || Error::Repository(full_name.to_owned());
    let (owner, name) = full_name.split_once('/').ok_or_else(wrong)?;
    if !is_name(owner) || !is_name(name) || name.strip_suffix(".git").is_some() {
        return Err(wrong());
    }
    let id = {
        let mut world = shared.world();
        match world.repository(owner, name) {
            Some(row) => row.id,
            None => {
                world.add_repository(owner, name, private, world_clock::now().unix_timestamp())?.id
            }
        }
    };
    let directory = shared.directory(id);
    if !directory.join("HEAD").exists() {
        make_bare(&shared.repositories(), &directory).await?;
    }
    Ok(id)
}

fn is_name(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= 100 && !text.starts_with('.') && text.bytes().all(known)
}

async fn make_bare(root: &Path, directory: &Path) -> Result<(), Error> {
    let path: PathBuf = directory.to_owned();
    let path = path.to_str().ok_or_else(|| Error::Repository(path.display().to_string()))?;
    git::run(root, &["init", "--quiet", "--bare", "--initial-branch=main", path]).await?;
    // As on GitHub: any object by its name, partial clones, and pushes (authorised by us).
    let settings = [
        ("http.receivepack", "true"),
        ("uploadpack.allowAnySHA1InWant", "true"),
        ("uploadpack.allowFilter", "true"),
        ("receive.denyDeleteCurrent", "true"),
        ("gc.auto", "0"),
    ];
    for (name, value) in settings {
        git::run(directory, &["config", name, value]).await?;
    }
    Ok(())
}
