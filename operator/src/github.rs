//! GitHub as its App sees it: installations, repositories, commits, tokens, commit statuses.
//!
//! The only user of octocrab, which signs the App's JWT (issued 60 s in the past, for clocks
//! that differ) and keeps a prefix such as `/api/v3` of an Enterprise Server. Tokens, limits and
//! errors are our own: octocrab's cache has no single flight, its retries do not read GitHub's
//! headers, and its errors say only "GitHub". Nothing is retried here but one call with a fresh
//! token after 401.

use std::sync::Arc;
use std::time::Duration;

use octocrab::Octocrab;
use octocrab::models::AppId;
use secrecy::{ExposeSecret as _, SecretString};
use zeitwork_runtime::Clock;

mod answers;
mod call;
mod error;
mod limits;
mod settings;
mod tokens;

pub use answers::{Commit, Installation, Repository, Status, StatusState};
pub use error::GithubError;
pub use settings::GithubSettings;

use answers::{CommitAnswer, InstallationAnswer};
use call::Credential;
use limits::Limits;
use tokens::{Scope, Tokens};

/// GitHub, as one App; cheap to clone.
#[derive(Clone)]
pub struct Github(Arc<Shared>);

struct Shared {
    settings: GithubSettings,
    /// Signs as the App.
    app: Octocrab,
    /// Signs nothing: installation tokens are ours to add.
    plain: Octocrab,
    tokens: Tokens,
    limits: Limits,
    clock: Clock,
}

impl std::fmt::Debug for Github {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Github").field(&self.0.settings).finish()
    }
}

impl Github {
    /// Makes the client; nothing is sent. Must be called within a runtime.
    ///
    /// # Errors
    /// [`GithubError::Misconfigured`] for an address or key that cannot be read.
    pub fn new(settings: GithubSettings, clock: Clock) -> Result<Self, GithubError> {
        zeitwork_outbound::install_crypto_provider();
        let wrong = |what: &str| GithubError::Misconfigured(what.to_owned());
        let builder = || {
            let builder = Octocrab::builder()
                .set_connect_timeout(Some(Duration::from_secs(5)))
                .set_read_timeout(Some(call::LIMIT));
            let url = settings.api_url.as_str().trim_end_matches('/');
            builder.base_uri(url).map_err(|_| wrong("ZEITWORK_GITHUB_API_URL is no URL"))
        };
        let app = builder()?
            .app_from_rsa_pem(AppId(settings.app_id), settings.private_key.expose_secret())
            .map_err(|_| wrong("ZEITWORK_GITHUB_PRIVATE_KEY_FILE holds no RSA key in PEM"))?
            .build()
            .map_err(|_| wrong("the GitHub client cannot be made"))?;
        let plain = builder()?.build().map_err(|_| wrong("the GitHub client cannot be made"))?;
        let (tokens, limits) = (Tokens::default(), Limits::default());
        Ok(Self(Arc::new(Shared { settings, app, plain, tokens, limits, clock })))
    }

    /// What a clone of the repository (`owner/name`) is asked for: no credential in it.
    #[must_use]
    pub fn clone_url(&self, repository: &str) -> String {
        format!("{}/{repository}.git", self.0.settings.url)
    }

    /// The installation through which the App reaches the repository (`owner/name`).
    ///
    /// # Errors
    /// [`GithubError::NotFound`] where the App is not installed for it.
    pub async fn installation_of(&self, repository: &str) -> Result<Installation, GithubError> {
        let path = format!("/repos/{}/installation", path_of(repository)?);
        let answer: InstallationAnswer = self.get(&Credential::App, &path).await?;
        Ok(answer.into())
    }

    /// The repository (`owner/name`), with its number.
    ///
    /// # Errors
    /// [`GithubError::NotFound`] where the installation does not include it.
    pub async fn repository(
        &self,
        installation: i64,
        repository: &str,
    ) -> Result<Repository, GithubError> {
        let path = format!("/repos/{}", path_of(repository)?);
        self.get(&Credential::Installation(installation), &path).await
    }

    /// The repository by its number, which survives a new name.
    ///
    /// # Errors
    /// [`GithubError::NotFound`] where the installation does not include it.
    pub async fn repository_by_id(
        &self,
        installation: i64,
        id: i64,
    ) -> Result<Repository, GithubError> {
        self.get(&Credential::Installation(installation), &format!("/repositories/{id}")).await
    }

    /// The commit at the head of a branch; none where there is no such branch (any more).
    ///
    /// # Errors
    /// Those of every call.
    pub async fn branch_head(
        &self,
        installation: i64,
        repository: &str,
        branch: &str,
    ) -> Result<Option<Commit>, GithubError> {
        let reference = format!("heads/{}", encode(branch));
        self.find_commit(installation, repository, &reference).await
    }

    /// A commit with its message and author; none where there is no such commit.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn commit(
        &self,
        installation: i64,
        repository: &str,
        sha: &str,
    ) -> Result<Option<Commit>, GithubError> {
        self.find_commit(installation, repository, &encode(sha)).await
    }

    async fn find_commit(
        &self,
        installation: i64,
        repository: &str,
        reference: &str,
    ) -> Result<Option<Commit>, GithubError> {
        let path = format!("/repos/{}/commits/{reference}", path_of(repository)?);
        let credential = Credential::Installation(installation);
        match self.get::<CommitAnswer>(&credential, &path).await {
            Ok(answer) => Ok(Some(answer.into())),
            // 422 "No commit found for SHA"; 409 "Git Repository is empty".
            Err(GithubError::Refused { status: 422 | 409, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells the state of a commit.
    ///
    /// # Errors
    /// [`GithubError::Refused`] or [`GithubError::NotFound`] where it will never be taken.
    pub async fn create_status(
        &self,
        installation: i64,
        repository: &str,
        sha: &str,
        status: &Status<'_>,
    ) -> Result<(), GithubError> {
        let path = format!("/repos/{}/statuses/{}", path_of(repository)?, encode(sha));
        let credential = Credential::Installation(installation);
        let _told: serde::de::IgnoredAny = self.post(&credential, &path, status).await?;
        Ok(())
    }

    /// A value for `Authorization` that lets git read exactly this repository, for an hour at
    /// most; none where GitHub gives no token now (the log says why).
    pub async fn clone_authorization(
        &self,
        installation: i64,
        repository: i64,
    ) -> Option<SecretString> {
        match self.read_authorization(installation, repository).await {
            Ok(value) => Some(value),
            Err(error) => {
                let error = zeitwork_runtime::lifecycle::chain(&error);
                tracing::warn!(installation.id = installation, error, "no token for a clone");
                None
            }
        }
    }

    /// As [`Github::clone_authorization`], with the reason where there is none.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn read_authorization(
        &self,
        installation: i64,
        repository: i64,
    ) -> Result<SecretString, GithubError> {
        use base64::Engine as _;
        let token = self.token(Scope::Repository { installation, repository }).await?;
        let pair = format!("x-access-token:{}", token.expose_secret());
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        Ok(SecretString::from(format!("basic {encoded}")))
    }
}

/// `owner/name`, fit for a path; what is no such name is nowhere.
fn path_of(repository: &str) -> Result<String, GithubError> {
    match repository.split_once('/') {
        Some((owner, name)) if !owner.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(format!("{}/{}", encode(owner), encode(name)))
        }
        _ => Err(GithubError::NotFound),
    }
}

/// Percent-encodes what may not stand in a path; `/` stays, dots alone cannot climb.
fn encode(text: &str) -> String {
    let part = |part: &str| match part {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        part => part.bytes().map(encode_byte).collect::<String>(),
    };
    text.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn encode_byte(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    }
}
