//! What the stand-in knows: accounts with their installation, repositories, tokens, statuses.
//!
//! Accounts and repositories are kept in `<state>/world.json`, so their numbers survive a
//! restart as GitHub's do; tokens and statuses live as long as the process.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::private_file;

/// GitHub's numbers are large: a test that mixes them up with ours should fail.
const FIRST_ACCOUNT: u64 = 90_000_000;
const FIRST_INSTALLATION: u64 = 50_000_000;
const FIRST_REPOSITORY: u64 = 800_000_000;
/// An installation token's life.
pub(crate) const TOKEN_LIFE: Duration = Duration::hours(1);

/// An organisation, in which the App is installed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Account {
    pub login: String,
    pub id: u64,
    pub installation: u64,
    pub suspended_at: Option<i64>,
}

/// A repository; its git directory is named by its number, never by what a user typed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RepositoryRow {
    pub id: u64,
    pub owner: String,
    pub name: String,
    pub private: bool,
    pub default_branch: String,
    /// Whether the installation includes it.
    pub selected: bool,
    pub created_at: i64,
    pub pushed_at: i64,
}

impl RepositoryRow {
    /// `owner/name`.
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

/// An installation token and what it may do.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub text: String,
    pub installation: u64,
    pub expires_at: OffsetDateTime,
    /// `None`: every repository of the installation.
    pub repositories: Option<Vec<u64>>,
    pub permissions: HashMap<String, String>,
}

/// A commit status that somebody posted.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Its number.
    pub id: u64,
    /// `owner/name`.
    #[serde(skip)]
    pub repository: String,
    /// The commit.
    #[serde(skip)]
    pub sha: String,
    /// `error`, `failure`, `pending` or `success`.
    pub state: String,
    /// Where a person reads more.
    pub target_url: Option<String>,
    /// At most 140 characters.
    pub description: Option<String>,
    /// What tells statuses of one commit apart.
    pub context: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct World {
    pub app_id: u64,
    pub accounts: Vec<Account>,
    pub repositories: Vec<RepositoryRow>,
    #[serde(skip)]
    pub tokens: HashMap<String, Token>,
    #[serde(skip)]
    pub statuses: Vec<Status>,
    #[serde(skip)]
    path: PathBuf,
}

impl World {
    /// Reads the world of an earlier start, or makes an empty one.
    pub(crate) fn open(state: &Path) -> io::Result<Self> {
        let path = state.join("world.json");
        let mut world: Self = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => return Err(error),
        };
        world.path = path;
        if world.app_id == 0 {
            let [a, b] = crate::random::bytes::<2>()?;
            world.app_id = 1_000_000 + u64::from(u16::from_be_bytes([a, b]));
            world.save()?;
        }
        Ok(world)
    }

    pub(crate) fn save(&self) -> io::Result<()> {
        private_file::write(&self.path, &serde_json::to_vec_pretty(self)?)
    }

    /// Names are compared as GitHub does: without regard to case.
    pub(crate) fn repository(&self, owner: &str, name: &str) -> Option<&RepositoryRow> {
        let name = name.strip_suffix(".git").unwrap_or(name);
        self.repositories
            .iter()
            .find(|r| r.owner.eq_ignore_ascii_case(owner) && r.name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn account(&self, login: &str) -> Option<&Account> {
        self.accounts.iter().find(|a| a.login.eq_ignore_ascii_case(login))
    }

    pub(crate) fn installation(&self, id: u64) -> Option<&Account> {
        self.accounts.iter().find(|a| a.installation == id)
    }

    /// Adds the repository, and its account with an installation if that is new too.
    pub(crate) fn add_repository(
        &mut self,
        owner: &str,
        name: &str,
        private: bool,
        now: i64,
    ) -> io::Result<RepositoryRow> {
        self.ensure_account(owner);
        let row = RepositoryRow {
            id: FIRST_REPOSITORY + self.repositories.len() as u64,
            owner: owner.to_owned(),
            name: name.to_owned(),
            private,
            default_branch: "main".to_owned(),
            selected: true,
            created_at: now,
            pushed_at: now,
        };
        self.repositories.push(row.clone());
        self.save()?;
        Ok(row)
    }

    /// Gives a repository another name and owner, whose account is made if it is new; whether the
    /// owner is another.
    pub(crate) fn move_repository(&mut self, id: u64, owner: &str, name: &str) -> io::Result<bool> {
        self.ensure_account(owner);
        let mut moves = false;
        for row in self.repositories.iter_mut().filter(|row| row.id == id) {
            moves = row.owner != owner;
            (row.owner, row.name) = (owner.to_owned(), name.to_owned());
        }
        self.save()?;
        Ok(moves)
    }

    fn ensure_account(&mut self, login: &str) {
        if self.account(login).is_some() {
            return;
        }
        let n = self.accounts.len() as u64;
        self.accounts.push(Account {
            login: login.to_owned(),
            id: FIRST_ACCOUNT + n,
            installation: FIRST_INSTALLATION + n,
            suspended_at: None,
        });
    }

    /// The token, if it is one that still lives.
    pub(crate) fn living_token(&self, token: &str, now: OffsetDateTime) -> Option<&Token> {
        self.tokens.get(token).filter(|t| t.expires_at > now)
    }

    /// Whether the token sees the repository.
    pub(crate) fn sees(&self, token: &Token, repository: &RepositoryRow) -> bool {
        let Some(account) = self.installation(token.installation) else { return false };
        account.login == repository.owner
            && repository.selected
            && account.suspended_at.is_none()
            && token.repositories.as_ref().is_none_or(|ids| ids.contains(&repository.id))
    }
}
