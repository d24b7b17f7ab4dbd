//! Logs and events: a stream for who accepts one, else a page.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use garde::Validate;
use http::HeaderMap;
use http::header::ACCEPT;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use zeitwork_database::{builds, deployments};
use zeitwork_model::id::{BuildId, DeploymentId};
use zeitwork_model::page::Page;
use zeitwork_web::Problem;

use crate::error::Answer;
use crate::extract::{Caller, Id, ValidQuery, Who, can, named};
use crate::state::App;
use crate::streams::events::EventSource;
use crate::streams::logs::{About, LogLine, LogSource};
use crate::streams::{Source, pump};
use crate::views::environment::Event;

/// Where to begin.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// Resumes behind it: an event's `id`, or the `next_cursor` of a page. The header
    /// `Last-Event-ID` says the same and wins.
    #[serde(default)]
    #[garde(length(max = 16384))]
    cursor: Option<String>,
    /// Logs: begins so many lines before the end of what each instance has said already.
    #[serde(default)]
    #[garde(range(min = 0, max = 10_000))]
    tail: Option<i64>,
    /// Pages: 1 to 1000 items, 200 if absent.
    #[serde(default)]
    #[garde(range(min = 1, max = 1000))]
    limit: Option<usize>,
}

/// Server-sent events, for who asks with `Accept: text/event-stream`. `event:` is `line` (`data:` is
/// an item as on a page), `gap` (something is missing), `slow` (the reader did not keep up) or `end`.
/// `id:` resumes behind an event, given back as it came: in `Last-Event-ID`, or as `cursor`.
#[derive(ToSchema)]
#[schema(value_type = String)]
#[expect(dead_code, reason = "describes what is written event by event")]
pub struct EventStream(String);

impl StreamQuery {
    fn cursor(&self, headers: &HeaderMap) -> Option<String> {
        let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
        let last = last.filter(|text| !text.is_empty() && text.len() <= 16384).map(str::to_owned);
        last.or_else(|| self.cursor.clone())
    }
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accept
        .flat_map(|value| value.split(','))
        .any(|kind| kind.trim().starts_with("text/event-stream"))
}

/// The stream, or one page of it.
async fn answer<S: Source>(
    app: &App,
    who: &Who,
    headers: &HeaderMap,
    query: &StreamQuery,
    mut source: S,
    position: fn(&S) -> String,
) -> Answer<Response> {
    if wants_stream(headers) {
        return pump::respond(app, who, source);
    }
    let mut connection = app.database.acquire().await?;
    let batch = source.read(&mut connection, query.limit.unwrap_or(200)).await?;
    let next_cursor = batch.more.then(|| position(&source));
    let items = batch.items.into_iter().filter(|item| item.event == "line");
    let items: Vec<serde_json::Value> = items.map(|item| item.data).collect();
    Ok(Json(Page { items, next_cursor }).into_response())
}

async fn lines(
    app: &App,
    who: &Who,
    headers: &HeaderMap,
    query: &StreamQuery,
    about: About,
) -> Answer<Response> {
    let cursor = query.cursor(headers);
    let source = LogSource::new(who.organisation, about, cursor.as_deref(), query.tail)?;
    answer(app, who, headers, query, source, LogSource::position).await
}

#[utoipa::path(get, path = "/builds/{build}/logs", tag = "builds",
    operation_id = "get_build_logs",
    params(("build" = BuildId, Path, description = "Id"), StreamQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "As cursor, and wins")),
    responses((status = 200,
        description = "A page, or a stream of lines; its `id:` is a sequence number",
        content((Page<LogLine> = "application/json"), (EventStream = "text/event-stream")))))]
/// The lines of a build, oldest first.
pub async fn of_build(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Id(id): Id<BuildId>,
    ValidQuery(query): ValidQuery<StreamQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let mut connection = app.database.acquire().await?;
    builds::get(&mut connection, caller.organisation, id).await?.ok_or_else(Problem::not_found)?;
    drop(connection);
    lines(&app, &caller, &headers, &query, About::Build(id)).await
}

#[utoipa::path(get, path = "/deployments/{deployment}/logs", tag = "deployments",
    operation_id = "get_deployment_logs",
    params(("deployment" = DeploymentId, Path, description = "Id"), StreamQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "As cursor, and wins")),
    responses((status = 200,
        description = "A page, or a stream of lines; its `id:` is opaque, as it stands for a place in several logs",
        content((Page<LogLine> = "application/json"), (EventStream = "text/event-stream")))))]
/// The lines of a deployment's build and instances, oldest first.
pub async fn of_deployment(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Id(id): Id<DeploymentId>,
    ValidQuery(query): ValidQuery<StreamQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let mut connection = app.database.acquire().await?;
    let row = deployments::get(&mut connection, caller.organisation, id).await?;
    row.ok_or_else(Problem::not_found)?;
    drop(connection);
    lines(&app, &caller, &headers, &query, About::Deployment(id)).await
}

#[utoipa::path(get, path = "/projects/{project}/environments/{environment}/logs",
    tag = "environments", operation_id = "get_environment_logs", params(
        ("project" = String, Path, description = "Id or slug"),
        ("environment" = String, Path, description = "Id or name"), StreamQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "As cursor, and wins")),
    responses((status = 200,
        description = "A page, or a stream of lines; its `id:` is opaque, as it stands for a place in several logs",
        content((Page<LogLine> = "application/json"), (EventStream = "text/event-stream")))))]
/// The lines of an environment's instances, oldest first, across deployments.
pub async fn of_environment(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Path(names): Path<(String, String)>,
    ValidQuery(query): ValidQuery<StreamQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let mut connection = app.database.acquire().await?;
    let (_, environment) = named::pair(&mut connection, &caller, &names).await?;
    drop(connection);
    lines(&app, &caller, &headers, &query, About::Environment(environment.id)).await
}

#[utoipa::path(get, path = "/projects/{project}/environments/{environment}/events",
    tag = "environments", operation_id = "get_environment_events", params(
        ("project" = String, Path, description = "Id or slug"),
        ("environment" = String, Path, description = "Id or name"), StreamQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "As cursor, and wins")),
    responses((status = 200,
        description = "A page, or a stream of events; its `id:` is a sequence number",
        content((Page<Event> = "application/json"), (EventStream = "text/event-stream")))))]
/// What happened in an environment, oldest first.
pub async fn events(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Path(names): Path<(String, String)>,
    ValidQuery(query): ValidQuery<StreamQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let mut connection = app.database.acquire().await?;
    let (_, environment) = named::pair(&mut connection, &caller, &names).await?;
    drop(connection);
    let cursor = query.cursor(&headers);
    let source = EventSource::new(caller.organisation, environment.id, cursor.as_deref())?;
    answer(&app, &caller, &headers, &query, source, EventSource::position).await
}
