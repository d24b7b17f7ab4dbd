//! What we read of webhooks: own small structs, strict in what is used, lenient to all else.
//!
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads>

use serde::Deserialize;
use zeitwork_model::commit::is_commit_id;

/// `push`.
#[derive(Debug, Deserialize)]
pub(super) struct Push {
    /// `refs/heads/…` or `refs/tags/…`.
    #[serde(rename = "ref")]
    pub(super) reference: String,
    /// Zeros where the branch is new.
    pub(super) before: String,
    /// Zeros where the branch is deleted.
    pub(super) after: String,
    #[serde(default)]
    pub(super) deleted: bool,
    pub(super) repository: Repository,
    pub(super) installation: Option<Numbered>,
    pub(super) head_commit: Option<HeadCommit>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Repository {
    pub(super) id: i64,
    pub(super) full_name: String,
    /// Missing where it does not matter.
    pub(super) default_branch: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Numbered {
    pub(super) id: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct HeadCommit {
    pub(super) id: String,
    #[serde(default)]
    pub(super) message: String,
    pub(super) author: Option<Author>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Author {
    pub(super) name: Option<String>,
}

/// `installation` and `installation_repositories`.
#[derive(Debug, Deserialize)]
pub(super) struct InstallationEvent {
    pub(super) action: String,
    pub(super) installation: Installed,
    #[serde(default)]
    pub(super) repositories: Vec<Named>,
    #[serde(default)]
    pub(super) repositories_added: Vec<Named>,
    #[serde(default)]
    pub(super) repositories_removed: Vec<Named>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Installed {
    pub(super) id: i64,
    pub(super) account: Option<Account>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Account {
    /// Enterprises have a slug instead.
    login: Option<String>,
    slug: Option<String>,
}

impl Installed {
    /// How its account is called, where GitHub says so.
    pub(super) fn account(&self) -> Option<&str> {
        let account = self.account.as_ref()?;
        account.login.as_deref().or(account.slug.as_deref())
    }
}

/// `repository`.
#[derive(Debug, Deserialize)]
pub(super) struct RepositoryEvent {
    pub(super) action: String,
    pub(super) repository: Repository,
}

#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) id: i64,
    pub(super) full_name: String,
}

/// A whole commit id that is not GitHub's writing of "nothing".
pub(super) fn commit(text: &str) -> Option<&str> {
    (is_commit_id(text) && text.bytes().any(|byte| byte != b'0')).then_some(text)
}
