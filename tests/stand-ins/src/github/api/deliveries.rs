//! The App's log of deliveries, and redelivery on request.
//!
//! <https://docs.github.com/en/rest/apps/webhooks>

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::caller::App;
use super::{Refusal, Shared};
use crate::github::hook::Delivery;
use crate::world_clock;

#[derive(Deserialize)]
pub(super) struct Wanted {
    per_page: Option<usize>,
    /// The newest id that was not given yet.
    cursor: Option<u64>,
    status: Option<String>,
}

fn succeeded(delivery: &Delivery) -> bool {
    (200..300).contains(&delivery.status_code)
}

fn summary(delivery: &Delivery) -> Value {
    let payload = &delivery.event.payload;
    json!({
        "id": delivery.id, "guid": delivery.event.guid,
        "delivered_at": world_clock::text(delivery.delivered_at),
        "redelivery": delivery.redelivery, "duration": delivery.duration.as_secs_f64(),
        "status": delivery.status, "status_code": delivery.status_code,
        "event": delivery.event.name, "action": payload.get("action"),
        "installation_id": payload["installation"].get("id"),
        "repository_id": payload["repository"].get("id"), "throttled_at": null,
    })
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    _: App,
    Query(wanted): Query<Wanted>,
) -> Result<(HeaderMap, Json<Value>), Refusal> {
    let size = wanted.per_page.unwrap_or(30).clamp(1, 100);
    let attempts = shared.hook.attempts();
    let fits = |d: &&Delivery| match wanted.status.as_deref() {
        Some("success") => succeeded(d),
        Some("failure") => !succeeded(d),
        _ => true,
    };
    let left = attempts.iter().rev().filter(fits);
    let mut left = left.filter(|d| wanted.cursor.is_none_or(|cursor| d.id <= cursor));
    let items: Vec<Value> = left.by_ref().take(size).map(summary).collect();
    let mut headers = HeaderMap::new();
    if let Some(next) = left.next() {
        let link = format!(
            "<{}/app/hook/deliveries?per_page={size}&cursor={}>; rel=\"next\"",
            shared.api_url(),
            next.id,
        );
        let link = HeaderValue::from_str(&link).map_err(|_| Refusal::not_found())?;
        headers.insert(header::LINK, link);
    }
    Ok((headers, Json(Value::Array(items))))
}

fn find(shared: &Shared, id: u64) -> Result<Delivery, Refusal> {
    let found = shared.hook.attempts().into_iter().find(|delivery| delivery.id == id);
    found.ok_or_else(Refusal::not_found)
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    _: App,
    Path(id): Path<u64>,
) -> Result<Json<Value>, Refusal> {
    let delivery = find(&shared, id)?;
    let body = shared.hook.body(&delivery.event).unwrap_or_default();
    let headers: Map<String, Value> = shared
        .hook
        .headers(&delivery.event, &body)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect();
    let mut value = summary(&delivery);
    value["url"] = json!(shared.hook.url());
    value["request"] = json!({"headers": headers, "payload": delivery.event.payload});
    value["response"] = json!({"headers": {}, "payload": delivery.response_body});
    Ok(Json(value))
}

pub(super) async fn redeliver(
    State(shared): State<Arc<Shared>>,
    _: App,
    Path(id): Path<u64>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let event = find(&shared, id)?.event;
    let hook = Arc::clone(&shared);
    world_clock::spawn(async move { hook.hook.deliver(&event, true).await });
    Ok((StatusCode::ACCEPTED, Json(json!({}))))
}
