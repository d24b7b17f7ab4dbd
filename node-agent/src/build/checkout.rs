//! The checkout: exactly one commit of a repository, in a directory of its own, within limits on
//! bytes, files and (by its caller) time. Nothing of the repository is executed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeitwork_model::commit::is_commit_id;
use zeitwork_outbound::Guard;

use super::address::{AddressError, Repository};
use super::git::{Git, GitError, GitUser, give};

/// Files of a checkout at most; more are no application but an attack on inodes.
pub const MAXIMUM_FILES: u64 = 100_000;
/// How often the size of what is being fetched is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What is to be checked out.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The repository.
    pub url: &'a str,
    /// Exactly this commit.
    pub commit: &'a str,
    /// `Authorization` header value.
    pub authorization: Option<&'a str>,
    /// Bytes at most, of the fetched pack and of the files, each.
    pub maximum_bytes: u64,
}

/// How and where.
#[derive(Debug)]
pub struct Place<'a> {
    /// The git program.
    pub git: &'a Path,
    /// Who it runs as.
    pub user: Option<GitUser>,
    /// An empty directory of this build's own.
    pub directory: &'a Path,
    /// What may be reached.
    pub guard: &'a Guard,
}

/// A finished checkout.
#[derive(Debug)]
pub struct Checkout {
    /// The working tree.
    pub source: PathBuf,
    /// When the commit was made, in seconds.
    pub time: u64,
}

/// Why there is no checkout.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// The commit is not 40 or 64 hexadecimal characters.
    #[error("{0:?} is no commit id")]
    Commit(String),
    /// The URL or the address behind it is refused, or cannot be resolved.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The repository does not have the commit (any more).
    #[error("the repository does not have commit {0}")]
    CommitMissing(String),
    /// It is too large.
    #[error("the commit holds more than {} MiB", .0 / (1024 * 1024))]
    TooLarge(u64),
    /// It has too many files.
    #[error("the commit holds more than {0} files")]
    TooManyFiles(u64),
    /// Git says no.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The disk.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Checks out a commit. Dropping the future kills what runs; the directory is the caller's.
///
/// # Errors
/// [`CheckoutError`]
pub async fn check_out(wanted: &Wanted<'_>, place: &Place<'_>) -> Result<Checkout, CheckoutError> {
    if !is_commit_id(wanted.commit) {
        return Err(CheckoutError::Commit(wanted.commit.chars().take(80).collect()));
    }
    let repository = Repository::check(wanted.url, place.guard).await?;
    let mut git = prepare(place)?;
    let format = if wanted.commit.len() == 64 { "sha256" } else { "sha1" };
    git.run(&["init", "--quiet", "--template=", &format!("--object-format={format}")]).await?;
    git.settings = settings(&repository, wanted.authorization);
    let maximum = wanted.maximum_bytes;
    match watched(&git, maximum, fetch(&git, repository.url.as_str(), wanted.commit)).await {
        Err(CheckoutError::Git(error)) if is_redirect(&error) => {
            let origin = repository.url.origin();
            let repository = repository.follow(place.guard, wanted.authorization).await?;
            let authorization = wanted.authorization.filter(|_| repository.url.origin() == origin);
            git.settings = settings(&repository, authorization);
            watched(&git, maximum, fetch(&git, repository.url.as_str(), wanted.commit)).await?;
        }
        done => done?,
    }
    git.settings.clear();
    measure(&git, wanted).await?;
    git.run(&["checkout", "--quiet", "--force", "--detach", wanted.commit]).await?;
    let time = git.run(&["show", "-s", "--format=%ct", wanted.commit]).await?;
    let time = time.trim().parse().unwrap_or(0);
    Ok(Checkout { source: git.directory, time })
}

fn prepare(place: &Place<'_>) -> Result<Git, CheckoutError> {
    let home = place.directory.join("home");
    let directory = place.directory.join("source");
    for directory in [&home, &directory] {
        std::fs::create_dir(directory)?;
        give(directory, place.user)?;
    }
    let program = place.git.to_owned();
    Ok(Git { program, user: place.user, home, directory, settings: Vec::new() })
}

/// Git's settings for one repository.
fn settings(repository: &Repository, authorization: Option<&str>) -> Vec<(String, String)> {
    let mut settings = repository.settings();
    if let Some(authorization) = authorization {
        // For this one URL only: nothing else that git might ask ever sees it.
        let key = format!("http.{}.extraHeader", repository.url);
        settings.push((key, format!("Authorization: {authorization}")));
    }
    settings
}

fn is_redirect(error: &GitError) -> bool {
    let GitError::Said { said, .. } = error else { return false };
    ["returned error: 30", "unable to update url base"].iter().any(|known| said.contains(known))
}

/// Fetches the commit alone; from a server that does not give commits by id, all branches.
async fn fetch(git: &Git, url: &str, commit: &str) -> Result<(), CheckoutError> {
    let quiet = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"];
    let alone = [&quiet[..], &["--depth=1", "--end-of-options", url, commit]].concat();
    let Err(error) = git.run(&alone).await else { return Ok(()) };
    if !refuses_by_id(&error) {
        return Err(error.into());
    }
    let branches = "+refs/heads/*:refs/remotes/origin/*";
    git.run(&[&quiet[..], &["--end-of-options", url, branches]].concat()).await?;
    let object = format!("{commit}^{{commit}}");
    match git.run(&["cat-file", "-e", &object]).await {
        Err(GitError::Said { .. }) => Err(CheckoutError::CommitMissing(commit.to_owned())),
        other => Ok(other.map(drop)?),
    }
}

fn refuses_by_id(error: &GitError) -> bool {
    let GitError::Said { said, .. } = error else { return false };
    ["not our ref", "unadvertised object", "couldn't find remote ref", "no such remote ref"]
        .iter()
        .any(|known| said.contains(known))
}

/// Counts the commit's files and bytes before one of them is written: a tree that repeats itself
/// is a few kilobytes as a pack, and millions of files on the disk.
async fn measure(git: &Git, wanted: &Wanted<'_>) -> Result<(), CheckoutError> {
    let (mut files, mut bytes) = (0_u64, 0_u64);
    git.lines(&["ls-tree", "-r", "-l", "-z", "--full-tree", wanted.commit], 0, |entry| {
        files += 1;
        bytes = bytes.saturating_add(size(entry));
        files <= MAXIMUM_FILES && bytes <= wanted.maximum_bytes
    })
    .await?;
    if files > MAXIMUM_FILES {
        return Err(CheckoutError::TooManyFiles(MAXIMUM_FILES));
    }
    if bytes > wanted.maximum_bytes {
        return Err(CheckoutError::TooLarge(wanted.maximum_bytes));
    }
    Ok(())
}

/// The size in `<mode> <type> <object> <size>\t<path>`; a submodule has none.
fn size(entry: &[u8]) -> u64 {
    let head = entry.split(|&byte| byte == b'\t').next().unwrap_or_default();
    let text = String::from_utf8_lossy(head);
    text.split_ascii_whitespace().nth(3).and_then(|size| size.parse().ok()).unwrap_or(0)
}

/// Runs `work` while the directory stays below the limit.
async fn watched(
    git: &Git,
    maximum: u64,
    work: impl Future<Output = Result<(), CheckoutError>>,
) -> Result<(), CheckoutError> {
    let watch = async {
        loop {
            tokio::time::sleep(LOOK).await;
            let directory = git.directory.clone();
            let used = tokio::task::spawn_blocking(move || used(&directory)).await.unwrap_or(0);
            if used > maximum {
                return;
            }
        }
    };
    tokio::select! {
        done = work => done,
        () = watch => Err(CheckoutError::TooLarge(maximum)),
    }
}

/// Bytes in a directory; what vanishes while it is counted does not count.
fn used(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => used(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
