//! What the routes do: one file a noun, one function a verb.

pub mod api_keys;
pub mod audit_events;
pub mod builds;
pub mod deployments;
pub mod domains;
pub mod environments;
pub mod github;
pub mod health;
pub mod instances;
pub mod logs;
pub mod nodes;
pub mod openapi;
pub mod organisations;
pub mod projects;
pub mod running;
pub mod system;
pub mod variables;
pub mod webhook_deliveries;
pub mod webhooks;
pub mod wishes;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

/// What was made or will be done, and where it is found: 201 or 202 with `Location`.
pub struct Found<T>(StatusCode, String, T);

/// 201: it exists now.
pub fn created<T>(location: String, body: T) -> Found<T> {
    Found(StatusCode::CREATED, location, body)
}

/// 202: the operator does the rest.
pub fn accepted<T>(location: String, body: T) -> Found<T> {
    Found(StatusCode::ACCEPTED, location, body)
}

impl<T: Serialize> IntoResponse for Found<T> {
    fn into_response(self) -> Response {
        let mut response = (self.0, Json(self.2)).into_response();
        // Our locations are made of ids and slugs, which are legal in headers.
        if let Ok(value) = HeaderValue::from_str(&self.1) {
            response.headers_mut().insert(LOCATION, value);
        }
        response
    }
}
