//! The App's webhook: signed deliveries, a log of every attempt, and what a test may do to them.
//!
//! As GitHub: ten seconds to answer, no redelivery unless somebody asks, and a redelivery has
//! the GUID of the first.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Uri};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Error;
use crate::{http, random, world_clock};

/// GitHub gives up after this.
const TIME_OUT: Duration = Duration::from_secs(10);
/// The hook's own number, in `X-GitHub-Hook-ID`.
const HOOK_ID: u64 = 600_000_000;

/// How the payload travels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ContentType {
    /// `application/json`.
    #[default]
    Json,
    /// `application/x-www-form-urlencoded`, as `payload=…`.
    Form,
}

/// Something that happened, with everything that each attempt repeats.
#[derive(Debug, Clone)]
pub struct Event {
    /// `X-GitHub-Delivery`: the same for every attempt.
    pub guid: String,
    /// `X-GitHub-Event`.
    pub name: String,
    /// What the hook tells.
    pub payload: Value,
}

impl Event {
    /// A new event with a GUID of its own.
    pub(crate) fn new(name: &str, payload: Value) -> std::io::Result<Self> {
        Ok(Self { guid: random::guid()?, name: name.to_owned(), payload })
    }
}

/// One attempt, answered or not.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The attempt's number.
    pub id: u64,
    /// What was delivered.
    pub event: Event,
    /// When the attempt began.
    pub delivered_at: OffsetDateTime,
    /// Whether somebody asked for it again.
    pub redelivery: bool,
    /// Until the answer or the failure.
    pub duration: Duration,
    /// `OK`, the answer's reason, or GitHub's words for no answer.
    pub status: String,
    /// The answer's code; 502 for no connection, 504 for no answer in time.
    pub status_code: u16,
    /// What the receiver said.
    pub response_body: String,
}

#[derive(Default)]
struct Log {
    attempts: Vec<Delivery>,
    events: Vec<Event>,
    held: Vec<Event>,
    holding: bool,
}

pub(crate) struct Hook {
    pub app_id: u64,
    pub secret: String,
    pub content_type: ContentType,
    url: Mutex<Option<String>>,
    log: Mutex<Log>,
    attempts: watch::Sender<usize>,
}

impl Hook {
    pub(crate) fn new(
        app_id: u64,
        secret: String,
        url: Option<String>,
        content_type: ContentType,
    ) -> Self {
        let (url, log) = (Mutex::new(url), Mutex::default());
        Self { app_id, secret, content_type, url, log, attempts: watch::Sender::new(0) }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_url(&self, url: Option<String>) {
        *self.url.lock().unwrap_or_else(PoisonError::into_inner) = url;
    }

    pub(crate) fn url(&self) -> Option<String> {
        self.url.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts attempts; changes after each.
    pub(crate) fn watch(&self) -> watch::Receiver<usize> {
        self.attempts.subscribe()
    }

    pub(crate) fn attempts(&self) -> Vec<Delivery> {
        self.log().attempts.clone()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.log().events.clone()
    }

    pub(crate) fn hold(&self) {
        self.log().holding = true;
    }

    pub(crate) fn held(&self) -> Vec<Event> {
        self.log().held.clone()
    }

    /// Ends the holding and hands over what was held, in order.
    pub(crate) fn end_hold(&self) -> Vec<Event> {
        let mut log = self.log();
        log.holding = false;
        std::mem::take(&mut log.held)
    }

    /// Records the event; `false` if it is to be held back.
    pub(crate) fn record(&self, event: &Event) -> bool {
        let mut log = self.log();
        log.events.push(event.clone());
        if log.holding {
            log.held.push(event.clone());
        }
        !log.holding
    }

    /// One attempt, logged; nothing without a URL.
    pub(crate) async fn deliver(&self, event: &Event, redelivery: bool) -> Option<Delivery> {
        let url = self.url()?;
        let (delivered_at, began) = (world_clock::now(), Instant::now());
        let answer = tokio::time::timeout(TIME_OUT, self.post(&url, event)).await;
        let (status, status_code, response_body) = match answer {
            Ok(Ok((code, body))) => (reason(code), code.as_u16(), body),
            Ok(Err(_)) => ("failed to connect to host".to_owned(), 502, String::new()),
            Err(_) => ("timed out".to_owned(), 504, String::new()),
        };
        let mut log = self.log();
        let delivery = Delivery {
            id: 12_000_000_000 + log.attempts.len() as u64,
            event: event.clone(),
            delivered_at,
            redelivery,
            duration: began.elapsed(),
            status,
            status_code,
            response_body,
        };
        log.attempts.push(delivery.clone());
        let count = log.attempts.len();
        drop(log);
        self.attempts.send_replace(count);
        Some(delivery)
    }

    async fn post(&self, url: &str, event: &Event) -> Result<(hyper::StatusCode, String), Error> {
        let uri: Uri = url.parse().map_err(|_| Error::WebhookUrl(url.to_owned()))?;
        let authority = match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(authority)) if is_local(authority.host()) => authority.clone(),
            _ => return Err(Error::WebhookUrl(url.to_owned())),
        };
        let request = self.request(&uri, authority.as_str(), event)?;
        let port = authority.port_u16().unwrap_or(80);
        let host = authority.host().trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, port)).await?;
        let answer = http::send(stream, request).await?;
        Ok((answer.status(), String::from_utf8_lossy(answer.body()).into_owned()))
    }

    fn request(&self, uri: &Uri, host: &str, event: &Event) -> Result<Request<Full<Bytes>>, Error> {
        let body = self.body(event)?;
        let mut request = Request::post(uri.path_and_query().map_or("/", |p| p.as_str()));
        for (name, value) in self.headers(event, &body) {
            request = request.header(name, value);
        }
        request.header("Host", host).body(Full::new(body)).map_err(|_| Error::Event)
    }

    /// The bytes that are signed and sent.
    pub(crate) fn body(&self, event: &Event) -> Result<Bytes, Error> {
        let json = serde_json::to_string(&event.payload).map_err(std::io::Error::from)?;
        Ok(match self.content_type {
            ContentType::Json => json.into(),
            ContentType::Form => {
                serde_urlencoded::to_string([("payload", json)]).map_err(|_| Error::Event)?.into()
            }
        })
    }

    /// The headers of a delivery, in GitHub's order.
    pub(crate) fn headers(&self, event: &Event, body: &[u8]) -> Vec<(&'static str, String)> {
        let content_type = match self.content_type {
            ContentType::Json => "application/json",
            ContentType::Form => "application/x-www-form-urlencoded",
        };
        vec![
            ("Accept", "*/*".to_owned()),
            ("Content-Type", content_type.to_owned()),
            ("User-Agent", format!("GitHub-Hookshot/{}", &event.guid[..7])),
            ("X-GitHub-Delivery", event.guid.clone()),
            ("X-GitHub-Event", event.name.clone()),
            ("X-GitHub-Hook-ID", HOOK_ID.to_string()),
            ("X-GitHub-Hook-Installation-Target-ID", self.app_id.to_string()),
            ("X-GitHub-Hook-Installation-Target-Type", "integration".to_owned()),
            (
                "X-Hub-Signature",
                format!("sha1={}", self.sign(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, body)),
            ),
            ("X-Hub-Signature-256", format!("sha256={}", self.sign(hmac::HMAC_SHA256, body))),
        ]
    }

    fn sign(&self, algorithm: hmac::Algorithm, body: &[u8]) -> String {
        hex::encode(hmac::sign(&hmac::Key::new(algorithm, self.secret.as_bytes()), body))
    }
}

/// A stand-in never calls beyond this host.
fn is_local(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn reason(code: hyper::StatusCode) -> String {
    code.canonical_reason().unwrap_or("Unknown").to_owned()
}
