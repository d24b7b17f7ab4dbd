//! The HTTP client: bounded in time, without redirects unless asked, retrying within a budget.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Certificate, IntoUrl, Request, RequestBuilder, Response, Url};
use zeitwork_runtime::Backoff;
use zeitwork_runtime::telemetry::traceparent;

use crate::guard::{Guard, GuardError};

#[cfg(test)]
mod tests;

/// A retry costs this much of the budget; a request that works gives one back. So at most every
/// tenth request is a retry once the budget is used up: a server in need is not buried.
const RETRY_COST: u32 = 10;
/// What the budget can hold: ten retries in a row.
const BUDGET_MAXIMUM: u32 = 100;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// Refused before anything was sent.
    #[error("{0}")]
    Refused(#[from] GuardError),
    /// No connection: nothing was sent.
    #[error("no connection to {host}")]
    Unreachable {
        /// Whom we wanted.
        host: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The time was over; whether the request took effect is unknown.
    #[error("{host} did not answer in time")]
    TimedOut {
        /// Whom we asked.
        host: String,
    },
    /// The exchange broke off, or the request was invalid.
    #[error("the exchange with {host} failed")]
    Broken {
        /// Whom we asked.
        host: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

impl OutboundError {
    fn new(url: &Url, error: reqwest::Error) -> Self {
        if let Some(refused) = find::<GuardError>(&error) {
            return Self::Refused(refused.clone());
        }
        let host = url.host_str().unwrap_or("nobody").to_owned();
        // The URL may hold what a log must not.
        let source = error.without_url();
        if source.is_connect() {
            Self::Unreachable { host, source }
        } else if source.is_timeout() {
            Self::TimedOut { host }
        } else {
            Self::Broken { host, source }
        }
    }
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// How a [`Client`] is made.
#[derive(Debug)]
#[must_use]
pub struct ClientBuilder {
    name: &'static str,
    connect_timeout: Duration,
    timeout: Duration,
    redirects: usize,
    attempts: u32,
    roots: Vec<Certificate>,
    guard: Option<Guard>,
}

impl ClientBuilder {
    /// Time until a connection stands (5 s).
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self { connect_timeout, ..self }
    }

    /// Time until the whole answer is read (30 s), for each attempt.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Follows so many redirects (none); each is checked by the guard.
    pub fn redirects(self, redirects: usize) -> Self {
        Self { redirects, ..self }
    }

    /// Attempts of an idempotent request, the first included (3).
    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// Trusts these certificates besides the system's.
    pub fn roots(self, roots: Vec<Certificate>) -> Self {
        Self { roots, ..self }
    }

    /// Reaches only what the guard allows: for everything that a user can influence.
    pub fn guard(self, guard: Guard) -> Self {
        Self { guard: Some(guard), ..self }
    }

    /// Makes the client; installs the cryptography provider if `main` did not.
    ///
    /// # Errors
    /// Certificates that cannot be used.
    pub fn build(self) -> Result<Client, reqwest::Error> {
        crate::install_crypto_provider();
        let mut inner = reqwest::Client::builder()
            .user_agent(format!("zeitwork/{} ({})", env!("CARGO_PKG_VERSION"), self.name))
            .connect_timeout(self.connect_timeout)
            .timeout(self.timeout)
            // Below the keep-alive of most servers, so that a connection is rarely reused in
            // the moment in which they close it.
            .pool_idle_timeout(Duration::from_secs(4))
            .redirect(redirect_policy(self.redirects, self.guard.clone()))
            // Only our own settings decide where requests go; a proxy would resolve names
            // without the guard.
            .no_proxy()
            .tls_certs_merge(self.roots);
        if let Some(guard) = &self.guard {
            inner = inner.dns_resolver(guard.resolver());
        }
        let budget = Arc::new(AtomicU32::new(BUDGET_MAXIMUM));
        let attempts = self.attempts.max(1);
        Ok(Client { inner: inner.build()?, guard: self.guard, attempts, budget })
    }
}

fn redirect_policy(limit: usize, guard: Option<Guard>) -> Policy {
    if limit == 0 {
        return Policy::none();
    }
    Policy::custom(move |attempt| {
        if attempt.previous().len() > limit {
            return attempt.error("too many redirects");
        }
        match guard.as_ref().map(|guard| guard.check_url(attempt.url())) {
            Some(Err(refused)) => attempt.error(refused),
            _ => attempt.follow(),
        }
    })
}

/// An HTTP client; cheap to clone, with one pool and one retry budget.
#[derive(Debug, Clone)]
pub struct Client {
    inner: reqwest::Client,
    guard: Option<Guard>,
    attempts: u32,
    budget: Arc<AtomicU32>,
}

impl Client {
    /// A client of the part `name`, which stands in the User-Agent.
    pub fn builder(name: &'static str) -> ClientBuilder {
        ClientBuilder {
            name,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            redirects: 0,
            attempts: 3,
            roots: Vec::new(),
            guard: None,
        }
    }

    /// A request to be sent with [`Client::send`] (its own `send` would pass by the guard's
    /// check of the URL, the budget and the trace).
    pub fn request(&self, method: Method, url: impl IntoUrl) -> RequestBuilder {
        self.inner.request(method, url)
    }

    /// A GET.
    pub fn get(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// A POST.
    pub fn post(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// Sends it. A request that may be repeated (by its method, or with an `Idempotency-Key`) and
    /// whose body can be sent again is repeated after broken exchanges and 429, 502, 503 and 504,
    /// within attempts and budget; any other once. An answer of any status is an answer.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, OutboundError> {
        let mut request = request.build().map_err(|source| {
            let host = source.url().and_then(Url::host_str).unwrap_or("nobody").to_owned();
            OutboundError::Broken { host, source: source.without_url() }
        })?;
        if let Some(guard) = &self.guard {
            guard.check_url(request.url())?;
        }
        if let Some(value) = traceparent().and_then(|it| HeaderValue::from_str(&it).ok()) {
            request.headers_mut().insert("traceparent", value);
        }
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        for _ in 1..self.attempts {
            let Some(copy) = repeatable(&request) else { break };
            let outcome = self.attempt(copy).await;
            if !is_worth_a_retry(&outcome) || !self.may_retry() {
                return outcome;
            }
            let asked = outcome.as_ref().ok().and_then(retry_after);
            let delay = asked.unwrap_or_default().max(backoff.next_delay());
            if delay > LONGEST_WAIT {
                return outcome;
            }
            tracing::debug!(host = request.url().host_str(), "retrying");
            tokio::time::sleep(delay).await;
        }
        self.attempt(request).await
    }

    async fn attempt(&self, request: Request) -> Result<Response, OutboundError> {
        let url = request.url().clone();
        let outcome = self.inner.execute(request).await;
        let well = outcome.as_ref().is_ok_and(|response| !response.status().is_server_error());
        if well {
            let gain = |budget: u32| Some((budget + 1).min(BUDGET_MAXIMUM));
            let _ = self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, gain);
        }
        outcome.map_err(|error| OutboundError::new(&url, error))
    }

    fn may_retry(&self) -> bool {
        let pay = |budget: u32| budget.checked_sub(RETRY_COST);
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_ok()
    }
}

/// The header by which a server knows a repetition, so that it takes effect once.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A server that asks for more patience than this gets it from the caller's next pass.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

fn repeatable(request: &Request) -> Option<Request> {
    let keyed = request.headers().contains_key(IDEMPOTENCY_KEY);
    (keyed || request.method().is_idempotent()).then(|| request.try_clone()).flatten()
}

fn is_worth_a_retry(outcome: &Result<Response, OutboundError>) -> bool {
    match outcome {
        Ok(response) => matches!(
            response.status(),
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        ),
        Err(OutboundError::Refused(_)) => false,
        Err(_) => true,
    }
}

/// `Retry-After` in seconds; its other form, a date, is left to the back-off.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(http::header::RETRY_AFTER)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}
