//! Why GitHub gave no answer that can be used.

use std::time::Duration;

use zeitwork_model::reason::Reason;

/// An error of GitHub, by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum GithubError {
    /// Our settings cannot be used.
    #[error("{0}")]
    Misconfigured(String),
    /// No answer, or one of 5xx: try again later.
    #[error("github does not answer: {0}")]
    Unavailable(String),
    /// Too many calls: GitHub said when to come back.
    #[error("github asks to wait {} s", .after.as_secs())]
    Limited {
        /// How long.
        after: Duration,
    },
    /// The App's own credential, or a fresh token, was refused.
    #[error("github refuses our credential: {0}")]
    Unauthenticated(String),
    /// The installation is no more: a repository's installation has to be found anew.
    #[error("the installation of the app is gone")]
    InstallationGone,
    /// Somebody has suspended the installation.
    #[error("the installation of the app is suspended")]
    Suspended,
    /// Not there, or not for us.
    #[error("github knows no such thing, or does not show it to the app")]
    NotFound,
    /// A refusal that another attempt does not change.
    #[error("github refuses ({status}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// GitHub's words.
        message: String,
    },
    /// An answer that is not what GitHub documents.
    #[error("an answer of github cannot be read")]
    Unreadable(#[source] serde_json::Error),
}

impl GithubError {
    /// Whether the same call may succeed later without anybody doing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_)
                | Self::Limited { .. }
                | Self::Unauthenticated(_)
                | Self::Unreadable(_)
        )
    }

    /// How long GitHub asked to wait.
    #[must_use]
    pub const fn asked_wait(&self) -> Option<Duration> {
        match self {
            Self::Limited { after } => Some(*after),
            _ => None,
        }
    }

    /// The same for people.
    #[must_use]
    pub fn reason(&self) -> Reason {
        let (code, text) = match self {
            Self::Misconfigured(text) => ("github_not_configured", text.clone()),
            Self::Unavailable(_) => (
                "github_unavailable",
                "GitHub does not answer at the moment; it is asked again.".to_owned(),
            ),
            Self::Limited { after } => (
                "github_limited",
                format!("GitHub asks us to wait {} s; then it is asked again.", after.as_secs()),
            ),
            Self::Unauthenticated(_) => (
                "github_unauthenticated",
                "GitHub refuses the App's credential: check ZEITWORK_GITHUB_APP_ID, its private \
                 key and this host's clock."
                    .to_owned(),
            ),
            Self::InstallationGone => (
                "installation_removed",
                "The GitHub App is not installed for this repository any more: install it again."
                    .to_owned(),
            ),
            Self::Suspended => (
                "installation_suspended",
                "The GitHub App is suspended in this account: end that in GitHub's settings."
                    .to_owned(),
            ),
            Self::NotFound => (
                "repository_not_found",
                "GitHub shows no such repository to the App: check its name, and that the App is \
                 installed for it."
                    .to_owned(),
            ),
            Self::Refused { status, message } => {
                ("github_refused", format!("GitHub refuses ({status}): {message}"))
            }
            Self::Unreadable(_) => (
                "github_unavailable",
                "An answer of GitHub could not be read; it is asked again.".to_owned(),
            ),
        };
        Reason::new(code, text)
    }
}
