//! What we read of GitHub's answers; fields that we do not know are ignored.

use serde::{Deserialize, Serialize};

/// An installation of the App.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Its number.
    pub id: i64,
    /// Login of the account that it is in.
    pub account: String,
    /// Whether somebody has suspended it.
    pub is_suspended: bool,
}

#[derive(Deserialize)]
pub(super) struct InstallationAnswer {
    id: i64,
    account: Option<Account>,
    suspended_at: Option<String>,
}

#[derive(Deserialize)]
struct Account {
    /// Enterprises have a slug instead.
    login: Option<String>,
    slug: Option<String>,
}

impl From<InstallationAnswer> for Installation {
    fn from(answer: InstallationAnswer) -> Self {
        let account = answer.account.and_then(|account| account.login.or(account.slug));
        Self {
            id: answer.id,
            account: account.unwrap_or_default(),
            is_suspended: answer.suspended_at.is_some(),
        }
    }
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Repository {
    /// Its number: the identity.
    pub id: i64,
    /// `owner/name`, as it is called now.
    pub full_name: String,
    /// What an environment without a branch follows.
    pub default_branch: String,
    /// What git is asked for.
    pub clone_url: String,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its name.
    pub sha: String,
    /// Whole.
    pub message: String,
    /// The author's name.
    pub author: String,
}

#[derive(Deserialize)]
pub(super) struct CommitAnswer {
    sha: String,
    commit: Inner,
}

#[derive(Deserialize)]
struct Inner {
    message: String,
    author: Option<Person>,
}

#[derive(Deserialize)]
struct Person {
    name: Option<String>,
}

impl From<CommitAnswer> for Commit {
    fn from(answer: CommitAnswer) -> Self {
        let author = answer.commit.author.and_then(|author| author.name).unwrap_or_default();
        Self { sha: answer.sha, message: answer.commit.message, author }
    }
}

/// How a commit does, in GitHub's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusState {
    /// Under way.
    Pending,
    /// Live.
    Success,
    /// Could not be.
    Failure,
    /// Ended otherwise.
    Error,
}

impl StatusState {
    /// As GitHub writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
        }
    }
}

/// A commit status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status<'a> {
    /// How it does.
    pub state: StatusState,
    /// Where a person reads more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_url: Option<&'a str>,
    /// At most 140 characters.
    pub description: &'a str,
    /// What tells statuses of one commit apart.
    pub context: &'a str,
}
