//! Installation tokens: cached until shortly before their end, asked for once however many wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::call::Credential;
use super::{Github, GithubError};

/// A token is not handed out within this of its end: a clone that begins now must not fail.
const RESERVE: Duration = Duration::minutes(10);
/// More slots than this are swept of what is over.
const SLOTS: usize = 1_000;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// All that the App may in the installation.
    Installation(i64),
    /// Reading the content of one repository.
    Repository { installation: i64, repository: i64 },
}

impl Scope {
    const fn installation(self) -> i64 {
        match self {
            Self::Installation(id) | Self::Repository { installation: id, .. } => id,
        }
    }
}

#[derive(Debug, Clone)]
struct Token {
    text: SecretString,
    expires_at: OffsetDateTime,
}

/// Whoever holds the inner lock asks GitHub; the others find what it got.
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<Scope, Slot>>);

impl Tokens {
    fn slot(&self, scope: Scope) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= SLOTS {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(scope).or_default())
    }

    /// Forgets all tokens of an installation.
    pub(super) fn forget(&self, installation: i64) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|scope, _| scope.installation() != installation);
    }
}

#[derive(Serialize)]
struct Wish {
    #[serde(skip_serializing_if = "Option::is_none")]
    repository_ids: Option<[i64; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Permissions>,
}

#[derive(Serialize)]
struct Permissions {
    contents: &'static str,
}

#[derive(Deserialize)]
struct Answer {
    token: SecretString,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

impl Github {
    /// A token that lives for a while yet.
    pub(super) async fn token(&self, scope: Scope) -> Result<SecretString, GithubError> {
        let slot = self.0.tokens.slot(scope);
        let mut held = slot.lock().await;
        let soon = self.0.clock.now() + RESERVE;
        if let Some(token) = held.as_ref().filter(|token| token.expires_at > soon) {
            return Ok(token.text.clone());
        }
        *held = None;
        let token = self.request_token(scope).await?;
        let text = token.text.clone();
        *held = Some(token);
        Ok(text)
    }

    /// Forgets a token that was refused, unless somebody has a newer one already.
    pub(super) async fn forget_token(&self, scope: Scope, refused: &SecretString) {
        let slot = self.0.tokens.slot(scope);
        let mut held = slot.lock().await;
        let is_same = |token: &Token| token.text.expose_secret() == refused.expose_secret();
        if held.as_ref().is_some_and(is_same) {
            *held = None;
        }
    }

    async fn request_token(&self, scope: Scope) -> Result<Token, GithubError> {
        let wish = match scope {
            Scope::Installation(_) => Wish { repository_ids: None, permissions: None },
            Scope::Repository { repository, .. } => Wish {
                repository_ids: Some([repository]),
                permissions: Some(Permissions { contents: "read" }),
            },
        };
        let path = format!("/app/installations/{}/access_tokens", scope.installation());
        let answer: Answer = self.post(&Credential::App, &path, &wish).await.map_err(|error| {
            match error {
                // A new installation of the same App has another number.
                GithubError::NotFound => GithubError::InstallationGone,
                error => error,
            }
        })?;
        Ok(Token { text: answer.token, expires_at: answer.expires_at })
    }

    /// Forgets all tokens of an installation: it was suspended or removed.
    pub fn forget_tokens(&self, installation: i64) {
        self.0.tokens.forget(installation);
    }
}
