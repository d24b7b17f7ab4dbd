//! The address of a repository: which URLs are followed at all, where they redirect to, and the
//! network addresses that git is held to.

use std::net::IpAddr;
use std::time::Duration;

use url::{Host, Url};
use zeitwork_outbound::reqwest::header::{AUTHORIZATION, HeaderMap, LOCATION};
use zeitwork_outbound::{CheckedTarget, Client, Guard, GuardError, OutboundError};

/// Redirects that are followed at most (a renamed owner and a renamed repository are two).
const MAXIMUM_REDIRECTS: usize = 5;
/// What git asks first, and so what redirects lead to (gitprotocol-http).
const FIRST_PATH: &str = "/info/refs";
const FIRST_QUERY: &str = "service=git-upload-pack";

/// Why a repository's address is not followed.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The URL is none that we follow.
    #[error("the repository URL {0}")]
    Refused(&'static str),
    /// It leads where builds may not go, or its name cannot be resolved.
    #[error("the repository URL is not followed: {0}")]
    Guarded(#[from] GuardError),
    /// Its redirects could not be asked for.
    #[error(transparent)]
    Asked(#[from] OutboundError),
    /// It redirects for ever, or to what is no repository.
    #[error("the repository has moved, and its new address is not followed: {0}")]
    Moved(String),
}

/// A repository whose URL and addresses were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// `https://host[:port]/path`, or `http` for a host that the operator named.
    pub url: Url,
    target: CheckedTarget,
}

impl Repository {
    /// Checks a URL and resolves its host.
    ///
    /// # Errors
    /// [`AddressError`]
    pub async fn check(text: &str, guard: &Guard) -> Result<Self, AddressError> {
        if text.len() > 2_048 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            let why = "holds spaces or control characters, or is too long";
            return Err(AddressError::Refused(why));
        }
        // Git reads `transport::address` before it reads a URL.
        if !text.starts_with("https://") && !text.starts_with("http://") {
            return Err(AddressError::Refused("must begin with https://"));
        }
        let url = Url::parse(text).map_err(|_| AddressError::Refused("is no URL"))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(AddressError::Refused("holds a query or fragment"));
        }
        let target = guard.resolve(&url).await?;
        Ok(Self { url, target })
    }

    /// Git's settings that keep it to the checked addresses and protocol.
    #[must_use]
    pub fn settings(&self) -> Vec<(String, String)> {
        let mut settings = Vec::new();
        if self.url.scheme() == "http" {
            settings.push(("protocol.http.allow".to_owned(), "always".to_owned()));
        }
        let port = self.url.port_or_known_default().unwrap_or(443);
        if let Some(Host::Domain(host)) = self.url.host() {
            let addresses: Vec<String> =
                self.target.addresses.iter().map(|address| in_curl(address.ip())).collect();
            let entry = format!("{host}:{port}:{}", addresses.join(","));
            settings.push(("http.curloptResolve".to_owned(), entry));
        }
        settings
    }

    /// Where the repository has moved to. Git itself never follows a redirect: each step is
    /// checked here. The authorization is shown to the first server alone.
    ///
    /// # Errors
    /// [`AddressError`]
    pub async fn follow(
        self,
        guard: &Guard,
        authorization: Option<&str>,
    ) -> Result<Self, AddressError> {
        let client = Client::builder("checkout")
            .guard(guard.clone())
            .timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| AddressError::Moved(error.to_string()))?;
        let first = self.url.origin();
        let mut at = self;
        for _ in 0..MAXIMUM_REDIRECTS {
            let mut asked = at.url.clone();
            asked.set_path(&format!("{}{FIRST_PATH}", at.url.path().trim_end_matches('/')));
            asked.set_query(Some(FIRST_QUERY));
            let mut request = client.get(asked.clone());
            if let Some(value) = authorization.filter(|_| at.url.origin() == first) {
                request = request.header(AUTHORIZATION, value);
            }
            let response = client.send(request).await?;
            if !response.status().is_redirection() {
                return Ok(at);
            }
            let next = location(&asked, response.headers())?;
            at = Self::check(next.as_str(), guard).await?;
        }
        Err(AddressError::Moved("too many redirects".to_owned()))
    }
}

/// The repository that an answer to git's first question leads to.
fn location(asked: &Url, headers: &HeaderMap) -> Result<Url, AddressError> {
    let moved = |why: &str| AddressError::Moved(why.to_owned());
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let mut next = location
        .and_then(|location| asked.join(location).ok())
        .ok_or_else(|| moved("it does not say where to"))?;
    if next.query() != Some(FIRST_QUERY) {
        return Err(moved("it is no repository"));
    }
    let path = next.path().strip_suffix(FIRST_PATH).map(str::to_owned);
    next.set_path(&path.ok_or_else(|| moved("it is no repository"))?);
    next.set_query(None);
    Ok(next)
}

/// An address as `CURLOPT_RESOLVE` writes it.
fn in_curl(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests;
