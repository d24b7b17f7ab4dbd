//! One call: signed, bounded in time, its answer sorted by what the caller can do.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::tokens::Scope;
use super::{Github, GithubError, limits};

/// GitHub answers within ten seconds or gives up itself.
pub(super) const LIMIT: Duration = Duration::from_secs(12);

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Credential {
    /// The App itself.
    App,
    /// An installation of it.
    Installation(i64),
}

impl Credential {
    const fn caller(self) -> Option<i64> {
        match self {
            Self::App => None,
            Self::Installation(id) => Some(id),
        }
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

/// What is asked.
struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Option<&'a serde_json::Value>,
}

impl Github {
    pub(super) async fn get<R: DeserializeOwned>(
        &self,
        credential: &Credential,
        path: &str,
    ) -> Result<R, GithubError> {
        self.call(credential, &Call { method: Method::GET, path, body: None }).await
    }

    pub(super) async fn post<R: DeserializeOwned>(
        &self,
        credential: &Credential,
        path: &str,
        body: &impl Serialize,
    ) -> Result<R, GithubError> {
        let body = serde_json::to_value(body).map_err(GithubError::Unreadable)?;
        self.call(credential, &Call { method: Method::POST, path, body: Some(&body) }).await
    }

    async fn call<R: DeserializeOwned>(
        &self,
        credential: &Credential,
        call: &Call<'_>,
    ) -> Result<R, GithubError> {
        self.0.limits.check(credential.caller())?;
        let answer = match credential {
            Credential::App => self.send(None, call).await?,
            Credential::Installation(id) => self.send_as(*id, call).await?,
        };
        if (200..300).contains(&answer.status) {
            return serde_json::from_str(&answer.body).map_err(GithubError::Unreadable);
        }
        let error = self.sort(*credential, &answer);
        tracing::debug!(
            http.path = call.path,
            http.status = answer.status,
            error = %error,
            "github refused a call"
        );
        Err(error)
    }

    /// With the installation's token; once more with a fresh one, since a token can be revoked.
    async fn send_as(&self, installation: i64, call: &Call<'_>) -> Result<Answer, GithubError> {
        let scope = Scope::Installation(installation);
        let token = Box::pin(self.token(scope)).await?;
        let answer = self.send(Some(&token), call).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        self.forget_token(scope, &token).await;
        let token = Box::pin(self.token(scope)).await?;
        self.send(Some(&token), call).await
    }

    async fn send(
        &self,
        token: Option<&SecretString>,
        call: &Call<'_>,
    ) -> Result<Answer, GithubError> {
        let exchange = self.exchange(token, call);
        match tokio::time::timeout(LIMIT, exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(GithubError::Unavailable(words(&error))),
            Err(_) => Err(GithubError::Unavailable(format!("no answer in {} s", LIMIT.as_secs()))),
        }
    }

    async fn exchange(
        &self,
        token: Option<&SecretString>,
        call: &Call<'_>,
    ) -> octocrab::Result<Answer> {
        let client = if token.is_some() { &self.0.plain } else { &self.0.app };
        let mut request = http::Request::builder()
            .method(call.method.clone())
            .uri(call.path)
            .header(header::ACCEPT, "application/vnd.github+json");
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
            if let Ok(mut value) = value {
                value.set_sensitive(true);
                request = request.header(header::AUTHORIZATION, value);
            }
        }
        let request = client.build_request(request, call.body)?;
        let response = client.execute(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = client.body_to_string(response).await?;
        Ok(Answer { status, headers, body })
    }

    fn sort(&self, credential: Credential, answer: &Answer) -> GithubError {
        let said = message(&answer.body);
        let now = self.0.clock.now().unix_timestamp();
        if let Some(after) = limits::asked(answer.status, &answer.headers, &said, now) {
            self.0.limits.note(credential.caller(), after);
            return GithubError::Limited { after };
        }
        match answer.status {
            500.. => GithubError::Unavailable(format!("status {}", answer.status)),
            401 => GithubError::Unauthenticated(said),
            403 if said.contains("suspended") => GithubError::Suspended,
            // A repository that was renamed or moved answers with its new place.
            301 | 302 | 307 | 308 | 404 => GithubError::NotFound,
            status => GithubError::Refused { status, message: said },
        }
    }
}

/// GitHub's words, cut: they are shown to people.
fn message(body: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Body {
        message: String,
    }
    let text = serde_json::from_str::<Body>(body).map(|body| body.message).unwrap_or_default();
    text.chars().take(200).collect()
}

/// octocrab's own text names its variant alone: the sources say what happened.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = zeitwork_runtime::lifecycle::chain(error);
    // Some variants print a backtrace.
    chain.lines().next().unwrap_or_default().chars().take(300).collect()
}
