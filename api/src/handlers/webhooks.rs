//! GitHub's webhook: checked, stored, answered. Nothing else happens in the request.

use std::borrow::Cow;

use axum::extract::{FromRequest, Request, State};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use zeitwork_auth::signature;
use zeitwork_database::webhook_deliveries::NewDelivery;
use zeitwork_model::id::DeliveryId;
use zeitwork_web::{Code, CurrentRequest, Problem};

use crate::error::Answer;
use crate::state::App;

/// GitHub sends no more (docs: "payloads are capped at 25 MB").
pub const BODY_MAXIMUM: usize = 25 * 1024 * 1024;
/// Bodies above this are rare, and read before anybody knows who sent them.
const LARGE: usize = 1024 * 1024;
/// So many large ones are read at once: memory is bounded whatever strangers send.
pub const LARGE_AT_ONCE: usize = 8;

/// Where deliveries are found, by the platform's owner.
const DELIVERIES: &str = "/api/v1/system/webhook-deliveries";

/// 202, and where it is found.
type Stored = (StatusCode, [(HeaderName, &'static str); 1]);

/// What is looked up by: everything else of the payload is the operator's business.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Payload<'a> {
    #[serde(borrow)]
    repository: Option<Repository<'a>>,
    installation: Option<Installation>,
}

impl<'a> Payload<'a> {
    /// Any JSON of the signer's is stored; one without the usual fields is about nothing of ours.
    fn read(text: &'a [u8]) -> Answer<Self> {
        let _: IgnoredAny = serde_json::from_slice(text).map_err(|_| Code::MalformedJson)?;
        Ok(serde_json::from_slice(text).unwrap_or_default())
    }
}

#[derive(Debug, Deserialize)]
struct Repository<'a> {
    id: i64,
    #[serde(borrow)]
    full_name: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
struct Installation {
    id: i64,
}

#[utoipa::path(post, path = "/webhooks/github", tag = "webhooks",
    operation_id = "receive_github_webhook", security(()),
    request_body(content = serde_json::Value, description = "As GitHub sends it, JSON or form"),
    params(
        ("X-GitHub-Event" = String, Header, description = "Kind of the event"),
        ("X-GitHub-Delivery" = String, Header, description = "Id of the delivery"),
        ("X-Hub-Signature-256" = String, Header, description = "HMAC SHA-256 of the body")),
    responses((status = 202, description = "Stored, now or before")))]
/// Takes a delivery of GitHub.
pub async fn github(State(app): State<App>, request: Request) -> Answer<Stored> {
    if app.config.webhook_secrets.is_empty() {
        return Err(Code::GithubNotConfigured.into());
    }
    let request_id = request.extensions().get::<CurrentRequest>().cloned();
    let headers = request.headers().clone();
    let _room = if is_large(&headers) {
        Some(app.large_bodies.try_acquire().map_err(|_| Code::Unavailable)?)
    } else {
        None
    };
    let body = Bytes::from_request(request, &app)
        .await
        .map_err(|rejection| Problem::new(Code::of_status(rejection.status())))?;
    let signatures = headers.get_all(signature::HEADER).iter().map(http::HeaderValue::as_bytes);
    signature::verify(&app.config.webhook_secrets, signatures, &body)
        .map_err(|_| Code::SignatureInvalid)?;
    let text = payload_of(&headers, body)?;
    let payload = Payload::read(&text)?;
    let name = payload.repository.as_ref().and_then(|repository| repository.full_name.as_deref());
    let delivery = NewDelivery {
        id: DeliveryId::new(),
        delivery_id: header(&headers, "x-github-delivery")?.to_owned(),
        event: header(&headers, "x-github-event")?.to_owned(),
        installation_id: payload.installation.map(|installation| installation.id),
        repository_id: payload.repository.as_ref().map(|repository| repository.id),
        // The database's text holds no NUL.
        repository: name.filter(|name| !name.contains('\0')).map(str::to_owned),
        payload: text.clone(),
        request_id: request_id.map(|request| request.id).unwrap_or_default(),
    };
    let (id, event) = (delivery.id, delivery.event.clone());
    let new = app.inbox.store(delivery).await?;
    tracing::info!(delivery.id = %id, delivery.new = new, event, "delivery");
    Ok((StatusCode::ACCEPTED, [(LOCATION, DELIVERIES)]))
}

/// What does not say how long it is counts as large.
fn is_large(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    length.is_none_or(|length: usize| length > LARGE)
}

/// A header of 1–100 visible ASCII characters, once.
fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Answer<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let legal = (1..=100).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic());
    if !legal || values.next().is_some() {
        let detail = format!("Exactly one {name} of 1 to 100 visible characters is needed.");
        return Err(Problem::new(Code::BadRequest).detail(detail).into());
    }
    Ok(value)
}

/// The JSON text: the body, or the field `payload` of a form.
fn payload_of(headers: &HeaderMap, body: Bytes) -> Answer<Bytes> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/json" => Ok(body),
        "application/x-www-form-urlencoded" => {
            let mut fields = url::form_urlencoded::parse(&body);
            let payload = fields.find(|(name, _)| name == "payload").map(|(_, value)| value);
            let payload = payload.ok_or(Code::MalformedJson)?;
            Ok(payload.into_owned().into_bytes().into())
        }
        _ => Err(Code::UnsupportedMediaType.into()),
    }
}
