//! Projects.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use garde::Validate;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use zeitwork_database::projects::{self, NewProject, ProjectChange};
use zeitwork_database::{PgConnection, environments};
use zeitwork_model::environment::EnvironmentKind;
use zeitwork_model::id::ProjectId;
use zeitwork_model::name::{check_slug, slug_of};
use zeitwork_model::page::Page;
use zeitwork_web::Problem;

use super::created;
use crate::error::{Answer, taken};
use crate::extract::{Caller, PageQuery, Valid, Who, can, named};
use crate::quota::PROJECTS;
use crate::source::{Source, SourceInput};
use crate::state::App;
use crate::vault::Vault;
use crate::views::project::Project;
use crate::{birth, input};

/// A project to be made.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewProject)]
pub struct CreateProject {
    /// For people.
    #[garde(custom(input::title))]
    name: String,
    /// `[a-z0-9-]`, 1–40 characters; made from the name if absent.
    #[serde(default)]
    #[garde(custom(input::option(input::slug)))]
    slug: Option<String>,
    /// Where its code comes from.
    #[garde(dive)]
    source: SourceInput,
    /// Branch that production follows; absent: the default branch.
    #[serde(default)]
    #[garde(custom(input::option(input::branch_pattern)))]
    branch: Option<String>,
}

#[utoipa::path(post, path = "/projects", tag = "projects", operation_id = "create_project",
    request_body = CreateProject, responses((status = 201, body = Project)))]
/// Makes a project with its production environment.
pub async fn create(
    State(app): State<App>,
    caller: Caller<can::WriteProjects>,
    Valid(body): Valid<CreateProject>,
) -> Answer<Response> {
    let source = body.source.resolve(&app.config)?;
    let mut transaction = app.database.begin().await?;
    let row = insert(&mut transaction, &caller, &body, &source).await?;
    Vault::create(&mut transaction, &app.master_key, row.id).await?;
    let branch = body.branch.as_deref();
    let kind = EnvironmentKind::Production;
    birth::environment(&mut transaction, &app.config, &row, "production", kind, branch).await?;
    let detail = json!({ "slug": row.slug, "source": row.source_kind });
    caller.audit(&mut transaction, "project.create", row.id, detail).await?;
    let view = show(&mut transaction, &app, row).await?;
    caller.conclude(transaction, created(format!("/api/v1/projects/{}", view.id), view)).await
}

async fn insert(
    connection: &mut PgConnection,
    who: &Who,
    body: &CreateProject,
    source: &Source,
) -> Answer<projects::Project> {
    let slug = body.slug.clone().unwrap_or_else(|| slug_of(&body.name));
    check_slug(&slug)
        .map_err(|rule| Problem::invalid("/slug", "invalid", format!("the slug {rule}")))?;
    PROJECTS.has_room_beside(projects::count(connection, who.organisation).await?)?;
    let new = NewProject {
        id: ProjectId::new(),
        organisation_id: who.organisation,
        slug: &slug,
        name: &body.name,
        source_kind: source.kind,
        repository: source.repository.as_deref(),
        url: source.url.as_deref(),
        root_directory: body.source.root_directory.as_deref().unwrap_or_default(),
        dockerfile: body.source.dockerfile.as_deref().unwrap_or("Dockerfile"),
    };
    projects::insert(connection, &new).await.map_err(taken("projects_slug", "/slug"))
}

async fn show(connection: &mut PgConnection, app: &App, row: projects::Project) -> Answer<Project> {
    let environments = environments::list(connection, row.organisation_id, &[row.id]).await?;
    Ok(Project::new(&app.config, row, &environments))
}

#[utoipa::path(get, path = "/projects", tag = "projects", operation_id = "list_projects",
    params(PageQuery), responses((status = 200, body = Page<Project>)))]
/// The organisation's projects, newest first.
pub async fn list(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    page: PageQuery,
) -> Answer<Json<Page<Project>>> {
    let mut connection = app.database.acquire().await?;
    let before = page.after()?;
    let rows = projects::list(&mut connection, caller.organisation, before, page.rows()).await?;
    let ids: Vec<ProjectId> = rows.iter().map(|row| row.id).collect();
    let environments = environments::list(&mut connection, caller.organisation, &ids).await?;
    let view = |row| Project::new(&app.config, row, &environments);
    Ok(Json(page.finish(rows, |row| row.id, view)))
}

#[utoipa::path(get, path = "/projects/{project}", tag = "projects", operation_id = "get_project",
    params(("project" = String, Path, description = "Id or slug")),
    responses((status = 200, body = Project)))]
/// One project.
pub async fn get(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Path(project): Path<String>,
) -> Answer<Json<Project>> {
    let mut connection = app.database.acquire().await?;
    let row = named::project(&mut connection, &caller, &project).await?;
    Ok(Json(show(&mut connection, &app, row).await?))
}

/// What of a project changes; absent: stays.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProjectChange)]
pub struct UpdateProject {
    /// For people.
    #[serde(default)]
    #[garde(custom(input::option(input::title)))]
    name: Option<String>,
    /// The new slug; addresses do not change with it.
    #[serde(default)]
    #[garde(custom(input::option(input::slug)))]
    slug: Option<String>,
    /// The new source, whole.
    #[serde(default)]
    #[garde(dive)]
    source: Option<SourceInput>,
}

#[utoipa::path(patch, path = "/projects/{project}", tag = "projects",
    operation_id = "update_project", request_body = UpdateProject,
    params(("project" = String, Path, description = "Id or slug")),
    responses((status = 200, body = Project)))]
/// Changes a project; what runs stays as it is until the next deployment.
pub async fn update(
    State(app): State<App>,
    caller: Caller<can::WriteProjects>,
    Path(project): Path<String>,
    Valid(body): Valid<UpdateProject>,
) -> Answer<Response> {
    let source = body.source.as_ref().map(|source| source.resolve(&app.config)).transpose()?;
    let mut transaction = app.database.begin().await?;
    let row = named::project(&mut transaction, &caller, &project).await?;
    let change = ProjectChange {
        name: body.name.as_deref(),
        slug: body.slug.as_deref(),
        source_kind: source.as_ref().map(|source| source.kind),
        repository: source.as_ref().and_then(|source| source.repository.as_deref()),
        url: source.as_ref().and_then(|source| source.url.as_deref()),
        root_directory: body.source.as_ref().and_then(|it| it.root_directory.as_deref()),
        dockerfile: body.source.as_ref().and_then(|it| it.dockerfile.as_deref()),
    };
    let row = projects::update(&mut transaction, caller.organisation, row.id, &change)
        .await
        .map_err(taken("projects_slug", "/slug"))?;
    let detail = json!({ "name": body.name, "slug": body.slug, "source": source.is_some() });
    caller.audit(&mut transaction, "project.update", row.id, detail).await?;
    let view = show(&mut transaction, &app, row).await?;
    caller.conclude(transaction, Json(view)).await
}

#[utoipa::path(delete, path = "/projects/{project}", tag = "projects",
    operation_id = "delete_project",
    params(("project" = String, Path, description = "Id or slug")),
    responses((status = 204, description = "Deleted; what runs is taken down")))]
/// Deletes a project with all its environments. Its addresses are free for others once what runs
/// is taken down, until then a project of the same name gets another one.
pub async fn delete(
    State(app): State<App>,
    caller: Caller<can::WriteProjects>,
    Path(project): Path<String>,
) -> Answer<Response> {
    let mut transaction = app.database.begin().await?;
    let row = named::project(&mut transaction, &caller, &project).await?;
    projects::delete(&mut transaction, caller.organisation, row.id).await?;
    let detail = json!({ "slug": row.slug });
    caller.audit(&mut transaction, "project.delete", row.id, detail).await?;
    caller.conclude(transaction, StatusCode::NO_CONTENT).await
}
