//! The API as the CLI sees it: JSON in, JSON out, problems as sentences.

mod problem;
pub mod sse;
pub mod stream;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use zeitwork_model::id::RequestId;
use zeitwork_outbound::reqwest::header::{ACCEPT, HeaderMap, HeaderName};
use zeitwork_outbound::reqwest::{Method, RequestBuilder, Response, StatusCode};
use zeitwork_outbound::{Client, IDEMPOTENCY_KEY};

pub use self::stream::Follow;

#[cfg(test)]
mod tests;

/// Prefix of every resource.
const PREFIX: &str = "/api/v1";
/// Items of a page that we ask for: the API's maximum.
const PAGE: usize = 200;
/// Longest time for an answer, all attempts together.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// A stream has no end of its own; its silence is watched instead.
const STREAM_LIMIT: Duration = Duration::from_hours(168);

/// An API with a key.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    base: String,
    key: String,
}

impl Api {
    /// The API at an address.
    pub fn new(base: &str, key: &str) -> Result<Self> {
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { client: Client::builder("cli").build()?, base, key: key.to_owned() })
    }

    /// Where it is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// What is missing until the platform is ready; none: it is.
    pub async fn readiness(&self) -> Result<Option<String>> {
        let (ready, body) = self.readiness_detail().await?;
        Ok(if ready { None } else { Some(problem::checks(&body)) })
    }

    /// Whether the platform is ready, and what each dependency says.
    pub async fn readiness_detail(&self) -> Result<(bool, Value)> {
        let answer = self.exchange(self.client.get(format!("{}/readyz", self.base))).await?;
        Ok((answer.status.is_success(), answer.body))
    }

    /// A resource; none where there is no such.
    pub async fn get(&self, path: &str) -> Result<Option<Value>> {
        let url = format!("{}{PREFIX}{path}", self.base);
        let answer = self.exchange(self.client.get(url)).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        answer.accepted().map(Some)
    }

    /// A resource that must be there.
    pub async fn require(&self, path: &str) -> Result<Value> {
        self.get(path).await?.with_context(|| missing(path))
    }

    /// Every item of a list, at most `limit`.
    pub async fn list(&self, path: &str, limit: usize) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        self.pages(path, limit, |page| items.extend(page)).await?;
        Ok(items)
    }

    /// The items of a list page by page, each as soon as it is there, at most `limit`. Returns how
    /// many there were.
    pub async fn pages(
        &self,
        path: &str,
        limit: usize,
        mut each: impl FnMut(Vec<Value>),
    ) -> Result<usize> {
        let mut count = 0;
        let mut cursor: Option<String> = None;
        loop {
            let wanted = PAGE.min(limit - count).max(1).to_string();
            let mut query = vec![("limit", wanted.as_str())];
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = self.require(&with_query(path, &query)).await?;
            let items = page.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            let items: Vec<Value> = items.into_iter().take(limit - count).collect();
            let next = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
            let empty = items.is_empty();
            count += items.len();
            each(items);
            // A list that still grows may name a next page for ever.
            if count >= limit || empty || next.is_none() || next == cursor {
                return Ok(count);
            }
            cursor = next;
        }
    }

    /// Sends a wish.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.wish(Method::POST, path, Some(body)).await
    }

    /// Puts a resource where it is named.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.wish(Method::PUT, path, Some(body)).await
    }

    /// Deletes a resource.
    pub async fn delete(&self, path: &str) -> Result<Value> {
        self.wish(Method::DELETE, path, None).await
    }

    /// Follows a stream of lines or events.
    pub fn follow(&self, path: &str) -> Follow<'_> {
        Follow::new(self, path)
    }

    /// A wish whose answer is lost is sent again, and takes effect once.
    async fn wish(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let url = format!("{}{PREFIX}{path}", self.base);
        let request = self.client.request(method, &url);
        let mut request = request.header(IDEMPOTENCY_KEY, RequestId::new().to_string());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.exchange(request).await?;
        if answer.status == StatusCode::NOT_FOUND {
            bail!(missing(path));
        }
        answer.accepted()
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<Answer> {
        let request = request.bearer_auth(&self.key);
        let answer = async {
            let answer = self.client.send(request).await.with_context(|| self.unreachable())?;
            Answer::read(answer).await
        };
        // The client tries again by itself; a person shall not sit before a silent terminal.
        match tokio::time::timeout(ANSWER_LIMIT, answer).await {
            Ok(answer) => answer,
            Err(_) => bail!(
                "{} did not answer within {} s: look at its log, or at what is in between",
                self.unreachable(),
                ANSWER_LIMIT.as_secs()
            ),
        }
    }

    /// Opens a stream after the given position.
    async fn open(&self, path: &str, last: Option<&str>) -> Result<Response> {
        const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
        let url = format!("{}{PREFIX}{path}", self.base);
        let request = self.client.get(&url).bearer_auth(&self.key).timeout(STREAM_LIMIT);
        let mut request = request.header(ACCEPT, "text/event-stream");
        if let Some(last) = last {
            request = request.header(LAST_EVENT_ID, last);
        }
        self.client.send(request).await.with_context(|| self.unreachable())
    }

    fn unreachable(&self) -> String {
        format!("the API at {} (set --api-url or ZEITWORK_API_URL; is it running?)", self.base)
    }
}

/// A path with a query, percent-encoded; empty values are kept.
pub fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    if pairs.is_empty() {
        return path.to_owned();
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs);
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}{}", query.finish())
}

/// What a path names that is not there, as people say it.
fn missing(path: &str) -> String {
    const NOUNS: [(&str, &str); 9] = [
        ("projects", "project"),
        ("environments", "environment"),
        ("deployments", "deployment"),
        ("builds", "build"),
        ("instances", "instance"),
        ("nodes", "node"),
        ("organisations", "organisation"),
        ("api-keys", "key"),
        ("variables", "variable"),
    ];
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let named = parts.chunks_exact(2).filter_map(|pair| {
        let (_, noun) = NOUNS.iter().find(|(plural, _)| *plural == pair[0])?;
        Some(format!("{noun} {}", decoded(pair[1])))
    });
    let named: Vec<String> = named.collect();
    if named.is_empty() {
        return format!("there is nothing at {path} (or this key may not see it)");
    }
    format!("there is no {} (or this key may not see it)", named.join(" with "))
}

/// What [`segment`] was given.
fn decoded(segment: &str) -> String {
    let pair = format!("x={}", segment.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map_or_else(|| segment.to_owned(), |(_, text)| text.into_owned())
}

/// One segment of a path, so that no name can lead to another resource.
pub fn segment(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A status with a body, and the request's id for whoever looks into the logs.
struct Answer {
    status: StatusCode,
    request_id: Option<String>,
    body: Value,
}

impl Answer {
    async fn read(response: Response) -> Result<Self> {
        let status = response.status();
        let request_id = request_id(response.headers());
        let text = response.text().await?;
        Ok(Self { status, request_id, body: serde_json::from_str(&text).unwrap_or(Value::Null) })
    }

    /// The body of a success; the sentence of a problem otherwise.
    fn accepted(self) -> Result<Value> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let id = self.request_id.as_deref();
        bail!(problem::sentence(self.status.as_u16(), &self.body, id))
    }
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned)
}
