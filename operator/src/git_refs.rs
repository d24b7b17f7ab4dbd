//! Asks any git server over HTTP which commit a branch, tag or HEAD is; without a git process.
//!
//! Does not fetch anything: commits are fetched where they are built.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use zeitwork_model::reason::Reason;
use zeitwork_outbound::reqwest::header::{AUTHORIZATION, HeaderValue};
use zeitwork_outbound::reqwest::{Response, StatusCode, Url};
use zeitwork_outbound::{Client, Guard, OutboundError};

mod advertisement;
#[cfg(test)]
mod tests;

use advertisement::Reader;
pub use advertisement::{Malformed, References};

/// A list of references larger than this is refused: a million references have 70 MB.
const BYTES_MAXIMUM: usize = 64 << 20;

/// Why a reference has no commit.
#[derive(Debug, thiserror::Error)]
pub enum RefsError {
    /// The text is no address that may be asked.
    #[error("the address of the repository is refused: {0}")]
    Address(String),
    /// No answer, or one that speaks of a passing state: ask again later.
    #[error("{0}")]
    Unreachable(String),
    /// The server wants (other) credentials, or shows nothing to us.
    #[error("the server answers {0}")]
    Forbidden(StatusCode),
    /// Some other refusal, or no git server at all.
    #[error("{0}")]
    NoRepository(String),
}

impl RefsError {
    /// Whether the same question may have an answer later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }

    /// The same for people.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Address(text) => Reason::new(
                "source_refused",
                format!("The address of the repository cannot be used: {text}."),
            ),
            Self::Unreachable(text) => Reason::new(
                "source_unreachable",
                format!("The git server does not answer: {text}."),
            ),
            Self::Forbidden(status) => Reason::new(
                "source_forbidden",
                format!(
                    "The git server refuses ({status}): check the address, and that the repository may be read."
                ),
            ),
            Self::NoRepository(text) => Reason::new(
                "source_unreachable",
                format!("There is no git repository at the address: {text}."),
            ),
        }
    }
}

/// What is asked of whom.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The repository, without credentials.
    pub url: &'a str,
    /// A value for `Authorization`.
    pub authorization: Option<&'a SecretString>,
    /// Whether the operator of this installation configured the address, so that it may be private.
    pub is_ours: bool,
}

/// Asks git servers; cheap to clone.
#[derive(Debug, Clone)]
pub struct GitRefs {
    guarded: Client,
    trusted: Client,
}

impl GitRefs {
    /// What users typed is asked through the guard.
    ///
    /// # Errors
    /// Where the system's certificates cannot be read.
    pub fn new(guard: Guard) -> Result<Self, zeitwork_outbound::reqwest::Error> {
        let builder =
            || Client::builder("zeitwork-operator").timeout(Duration::from_secs(20)).redirects(3);
        Ok(Self { guarded: builder().guard(guard).build()?, trusted: builder().build()? })
    }

    /// All branches and tags of a repository.
    ///
    /// # Errors
    /// Why there is no list.
    pub async fn list(&self, question: Question<'_>) -> Result<References, RefsError> {
        let url = address(question.url)?;
        let client = if question.is_ours { &self.trusted } else { &self.guarded };
        let mut request = client.get(url);
        if let Some(value) = question.authorization {
            let value = HeaderValue::from_str(value.expose_secret());
            let mut value = value.map_err(|_| RefsError::Address("no header".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let response = client.send(request).await.map_err(unanswered)?;
        read(check(response)?).await
    }
}

fn address(text: &str) -> Result<Url, RefsError> {
    let wrong = |text: &str| RefsError::Address(text.to_owned());
    let mut url = Url::parse(text).map_err(|_| wrong("it is no URL"))?;
    url.set_query(Some("service=git-upload-pack"));
    url.set_fragment(None);
    url.path_segments_mut()
        .map_err(|()| wrong("it has no path"))?
        .pop_if_empty()
        .extend(["info", "refs"]);
    Ok(url)
}

fn unanswered(error: OutboundError) -> RefsError {
    match error {
        OutboundError::Refused(refused) => RefsError::Address(refused.to_string()),
        error => RefsError::Unreachable(error.to_string()),
    }
}

fn check(response: Response) -> Result<Response, RefsError> {
    let status = response.status();
    match status {
        StatusCode::OK => Ok(response),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
            Err(RefsError::Forbidden(status))
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Err(RefsError::Unreachable(format!("it answers {status}")))
        }
        status => Err(RefsError::NoRepository(format!("the server answers {status}"))),
    }
}

async fn read(mut response: Response) -> Result<References, RefsError> {
    let (mut reader, mut total) = (Reader::default(), 0);
    let no_git = |error: Malformed| RefsError::NoRepository(error.to_string());
    loop {
        let piece = response.chunk().await;
        let piece = piece.map_err(|_| RefsError::Unreachable("the answer broke off".to_owned()))?;
        let Some(piece) = piece else { return reader.finish().map_err(no_git) };
        total += piece.len();
        if total > BYTES_MAXIMUM {
            return Err(RefsError::NoRepository("its list of references is too long".to_owned()));
        }
        reader.feed(&piece).map_err(no_git)?;
    }
}
