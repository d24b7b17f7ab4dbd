//! Input that has been read and checked; every mistake is named by a JSON pointer.

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use garde::Validate;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use zeitwork_web::{Code, Problem};

use crate::error::Refusal;

/// A JSON body.
#[derive(Debug)]
pub struct Valid<T>(pub T);

impl<T, S> FromRequest<S> for Valid<T>
where
    T: DeserializeOwned + Validate<Context = ()>,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let essence = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
        if !essence.is_some_and(|it| it.eq_ignore_ascii_case("application/json")) {
            return Err(Code::UnsupportedMediaType.into());
        }
        let body = Bytes::from_request(request, state).await.map_err(|rejection| {
            let code = Code::of_status(rejection.status());
            Refusal(Problem::new(code))
        })?;
        Ok(Self(json(&body)?))
    }
}

/// Reads and checks a JSON text.
pub fn json<T: DeserializeOwned + Validate<Context = ()>>(body: &[u8]) -> Result<T, Refusal> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value: T = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let inner = error.inner();
        if inner.is_data() {
            let text = without_position(&inner.to_string());
            return Refusal(Problem::invalid(pointer_of(error.path()), "invalid", text));
        }
        let detail = format!("The body is no JSON: {inner}.");
        Refusal(Problem::new(Code::MalformedJson).detail(detail))
    })?;
    reader.end().map_err(|_| Refusal::from(Code::MalformedJson))?;
    check(&value)?;
    Ok(value)
}

/// The parameters of the query.
#[derive(Debug)]
pub struct ValidQuery<T>(pub T);

impl<T, S> FromRequestParts<S> for ValidQuery<T>
where
    T: DeserializeOwned + Validate<Context = ()>,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        query(parts).map(Self)
    }
}

/// Reads and checks the query.
pub fn query<T: DeserializeOwned + Validate<Context = ()>>(parts: &Parts) -> Result<T, Refusal> {
    let text = parts.uri.query().unwrap_or_default();
    let reader = serde_urlencoded::Deserializer::new(form_pairs(text));
    let value: T = serde_path_to_error::deserialize(reader).map_err(|error| {
        let text = error.inner().to_string();
        Refusal(Problem::invalid(pointer_of(error.path()), "invalid", text))
    })?;
    check(&value)?;
    Ok(value)
}

fn form_pairs(text: &str) -> url::form_urlencoded::Parse<'_> {
    url::form_urlencoded::parse(text.as_bytes())
}

/// Every rule that is broken, at once.
fn check<T: Validate<Context = ()>>(value: &T) -> Result<(), Refusal> {
    let Err(report) = value.validate() else { return Ok(()) };
    let problem =
        report.iter().fold(Problem::new(Code::ValidationFailed), |problem, (at, error)| {
            let text = at.to_string().replace(']', "").replace(['.', '['], "/");
            let pointer = if text.is_empty() { text } else { format!("/{text}") };
            problem.error(pointer, "invalid", error.message())
        });
    Err(Refusal(problem))
}

fn pointer_of(path: &Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                format!("/{}", key.replace('~', "~0").replace('/', "~1"))
            }
            Segment::Unknown => String::new(),
        })
        .collect()
}

/// `serde_json` ends its texts with ` at line 1 column 2`, which the pointer says better.
fn without_position(text: &str) -> String {
    text.rsplit_once(" at line ").map_or(text, |(text, _)| text).to_owned()
}

/// For fields where null says something else than nothing: `Some(None)` is null.
pub fn present<'de, T, D>(reader: D) -> Result<Option<Option<T>>, D::Error>
where
    T: serde::Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    serde::Deserialize::deserialize(reader).map(Some)
}

/// A JSON body that may be absent altogether.
#[derive(Debug)]
pub struct MaybeValid<T>(pub T);

impl<T, S> FromRequest<S> for MaybeValid<T>
where
    T: DeserializeOwned + Validate<Context = ()> + Default,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Refusal(Problem::new(Code::of_status(rejection.status()))))?;
        if body.is_empty() { Ok(Self(T::default())) } else { Ok(Self(json(&body)?)) }
    }
}
