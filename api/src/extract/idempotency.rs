//! `Idempotency-Key`: a write that is repeated within 24 hours gets the answer of the first one.
//! The key belongs to the caller's API key, and to one route and body.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use zeitwork_database::idempotency::{self, Answer as Stored, Claim};
use zeitwork_database::{Error as DatabaseError, PgConnection, Transaction};
use zeitwork_web::{Code, Problem};

use crate::error::{Answer, Refusal};
use crate::extract::caller::{Who, identify};
use crate::state::App;

const HEADER: &str = "idempotency-key";
/// As the standard layer limits bodies.
const BODY_MAXIMUM: usize = 1024 * 1024;
/// Answers to writes are small; a larger one is a mistake of ours.
const ANSWER_MAXIMUM: usize = 4 * 1024 * 1024;

/// The layer around every write of the API.
pub async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    let reading = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if reading || !request.headers().contains_key(HEADER) {
        return next.run(request).await;
    }
    once(&app, request, next).await.unwrap_or_else(Refusal::into_response)
}

/// The claim of a request that takes effect once.
#[derive(Debug, Clone)]
pub struct Once {
    key: String,
    claimed_at: OffsetDateTime,
}

/// Marks an answer that is stored already, together with the work.
#[derive(Debug, Clone, Copy)]
struct Concluded;

async fn once(app: &App, request: Request, next: Next) -> Answer<Response> {
    let key = key_of(request.headers())?;
    let (mut parts, body) = request.into_parts();
    let who = identify(&mut parts, app).await?;
    let body = to_bytes(body, BODY_MAXIMUM).await.map_err(|_| Code::PayloadTooLarge)?;
    let route = format!("{} {}", parts.method, parts.uri);
    let hash = Sha256::digest(&body);
    let mut connection = app.database.acquire().await?;
    let claim = idempotency::claim(&mut connection, who.key, &key, &route, &hash).await?;
    drop(connection);
    match claim {
        Claim::Fresh(claimed_at) => {
            let who = Who { once: Some(Once { key, claimed_at }), ..who };
            parts.extensions.insert(who.clone());
            let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
            keep_refusal(app, &who, answer).await
        }
        Claim::Answered(stored) => Ok(replay(stored)),
        Claim::Different => Err(Code::IdempotencyKeyReused.into()),
        Claim::AtWork => {
            Err(Problem::conflict("The first request with this key is still at work.").into())
        }
    }
}

fn key_of(headers: &HeaderMap) -> Answer<String> {
    let mut values = headers.get_all(HEADER).iter();
    let key = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    if key.is_empty() || key.len() > 200 || values.next().is_some() {
        let text = "Send one Idempotency-Key of 1 to 200 visible characters.";
        return Err(Problem::new(Code::BadRequest).detail(text).into());
    }
    Ok(key.to_owned())
}

impl Who {
    /// Commits what the request has changed, and only then answers. Where the request has an
    /// `Idempotency-Key` its answer is part of the transaction, so a repetition finds both or
    /// neither, whenever this process ends.
    pub async fn conclude(
        &self,
        mut transaction: Transaction,
        answer: impl IntoResponse,
    ) -> Answer<Response> {
        let mut answer = answer.into_response();
        if let Some(once) = &self.once {
            answer = store(&mut transaction, self, once, answer).await?;
            answer.extensions_mut().insert(Concluded);
        }
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(answer)
    }
}

/// Stores what was refused. A refusal of ours for a passing reason, and a fault, had no effect:
/// the key is free again.
async fn keep_refusal(app: &App, who: &Who, answer: Response) -> Answer<Response> {
    let Some(once) = &who.once else { return Ok(answer) };
    if answer.extensions().get::<Concluded>().is_some() {
        return Ok(answer);
    }
    let mut connection = app.database.acquire().await?;
    let passing = answer.status().is_server_error()
        || matches!(answer.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED);
    if passing {
        idempotency::release(&mut connection, who.key, &once.key, once.claimed_at).await?;
        return Ok(answer);
    }
    store(&mut connection, who, once, answer).await
}

async fn store(
    connection: &mut PgConnection,
    who: &Who,
    once: &Once,
    answer: Response,
) -> Answer<Response> {
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, ANSWER_MAXIMUM).await.map_err(|_| Code::Internal)?;
    let stored = stored(&parts.headers, parts.status, &body);
    idempotency::answer(connection, who.key, &once.key, once.claimed_at, &stored).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// An answer that holds a secret (marked `no-store`) is not kept: the repetition learns only
/// that there was one.
fn stored(headers: &HeaderMap, status: StatusCode, body: &Bytes) -> Stored {
    if headers.get(CACHE_CONTROL).is_some_and(|value| value == "no-store") {
        let problem = Problem::conflict("It was made by the first request and is shown only once.");
        let body = serde_json::to_vec(&problem.body("")).unwrap_or_default();
        let headers = serde_json::json!({ "content-type": zeitwork_web::problem::PROBLEM_JSON });
        return Stored { status: StatusCode::CONFLICT.as_u16().into(), headers, body };
    }
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let headers = serde_json::json!({
        "content-type": text(CONTENT_TYPE),
        "location": text(LOCATION),
    });
    Stored { status: status.as_u16().into(), headers, body: body.to_vec() }
}

fn replay(stored: Stored) -> Response {
    let status = u16::try_from(stored.status).ok().and_then(|it| StatusCode::from_u16(it).ok());
    let mut response = (status.unwrap_or(StatusCode::OK), stored.body).into_response();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    for name in [CONTENT_TYPE, LOCATION] {
        let value = stored.headers.get(name.as_str()).and_then(|value| value.as_str());
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    response
}
