//! Variables of a project or of one environment.

use std::fmt;
use std::str::FromStr;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use garde::Validate;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use zeitwork_database::PgConnection;
use zeitwork_database::environments::{self, Environment};
use zeitwork_database::projects::Project;
use zeitwork_database::variables::{self, Position};
use zeitwork_model::id::{EnvironmentId, VariableId};
use zeitwork_model::name::check_variable_name;
use zeitwork_model::page::Page;
use zeitwork_model::variable::VariableAt;
use zeitwork_web::{Code, Problem};

use super::wishes::redeploy_live;
use crate::error::Answer;
use crate::extract::{Caller, PageQuery, Valid, ValidQuery, Who, can, named};
use crate::input;
use crate::quota::VARIABLES;
use crate::state::App;
use crate::vault::Vault;
use crate::views::project::Variable;

/// The value of a variable.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VariableValue)]
pub struct PutVariable {
    /// At most 64 KiB, without NUL.
    #[garde(custom(input::variable_value))]
    value: String,
    /// Whether it is never shown again; true if absent.
    #[serde(default = "yes")]
    #[garde(skip)]
    secret: bool,
    /// Name or id of the one environment that has it; absent: all of the project.
    #[serde(default)]
    #[garde(length(max = 64))]
    environment: Option<String>,
    /// When it is visible; if absent `run` for a secret, else `both`. A secret never reaches a
    /// build, where it would be readable in the image's history: with `both` it is used at run
    /// only, and `build` is refused.
    #[serde(default)]
    #[garde(skip)]
    at: Option<VariableAt>,
}

const SECRET_AT_BUILD: &str = "a secret would be readable in the image's history: use it at run time \
     (\"at\": \"run\"), or set \"secret\" to false if everybody who can read the image may read it";

const fn yes() -> bool {
    true
}

/// Whether a change is deployed at once, and for which environment it is.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ChangeQuery {
    /// Deploys what is live again, with the change; false if absent.
    #[serde(default)]
    #[garde(skip)]
    deploy: bool,
}

/// Which variable of that name.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ScopeQuery {
    /// Name or id of an environment; absent: that of the project.
    #[serde(default)]
    #[garde(length(max = 64))]
    environment: Option<String>,
}

#[utoipa::path(put, path = "/projects/{project}/variables/{name}", tag = "variables",
    operation_id = "put_variable", request_body = PutVariable, params(
        ("project" = String, Path, description = "Id or slug"),
        ("name" = String, Path, description = "Name of the variable"), ChangeQuery),
    responses((status = 200, body = Variable)))]
/// Sets a variable; what runs gets it with the next deployment.
pub async fn put(
    State(app): State<App>,
    caller: Caller<can::WriteProjects>,
    Path((project, name)): Path<(String, String)>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    Valid(body): Valid<PutVariable>,
) -> Answer<Response> {
    check_variable_name(&name)
        .map_err(|rule| Problem::invalid("/name", "invalid", rule.to_string()))?;
    if body.secret && body.at == Some(VariableAt::Build) {
        return Err(Problem::invalid("/at", "invalid", SECRET_AT_BUILD).into());
    }
    let mut transaction = app.database.begin().await?;
    let project = named::project(&mut transaction, &caller, &project).await?;
    let environment = scope(&mut transaction, &caller, &project, body.environment.as_deref())
        .await
        .map_err(|refusal| refusal.of_field("/environment"))?;
    let row = write(&mut transaction, &app, &caller, &project, environment, &name, &body).await?;
    let detail = json!({ "project": project.id, "environment": environment, "name": name });
    caller.audit(&mut transaction, "variable.set", row.id, detail).await?;
    if query.deploy {
        deploy(&mut transaction, &app, &caller, &project, environment).await?;
    }
    caller.conclude(transaction, Json(Variable::new(row, Some(body.value)))).await
}

/// The environment that a variable is for; none: all.
async fn scope(
    connection: &mut PgConnection,
    who: &Who,
    project: &Project,
    name: Option<&str>,
) -> Answer<Option<EnvironmentId>> {
    match name {
        None => Ok(None),
        Some(name) => Ok(Some(named::environment(connection, who, project, name).await?.id)),
    }
}

async fn write(
    connection: &mut PgConnection,
    app: &App,
    who: &Who,
    project: &Project,
    environment: Option<EnvironmentId>,
    name: &str,
    body: &PutVariable,
) -> Answer<variables::Variable> {
    let vault = Vault::open(connection, &app.master_key, who.organisation, project.id).await?;
    let known =
        variables::find_id(connection, who.organisation, project.id, environment, name).await?;
    if known.is_none() {
        let there = variables::count(connection, who.organisation, project.id).await?;
        VARIABLES.has_room_beside(there)?;
    }
    let id = known.unwrap_or_else(VariableId::new);
    let (key_version, ciphertext) = vault.encrypt(&id.to_string(), &body.value)?;
    let row = variables::Variable {
        id,
        environment_id: environment,
        name: name.to_owned(),
        at: body.at.unwrap_or(VariableAt::default_of(body.secret)),
        secret: body.secret,
        key_version,
        ciphertext,
        updated_at: zeitwork_database::installation::now(connection).await?,
    };
    variables::put(connection, who.organisation, project.id, &row).await?;
    Ok(row)
}

/// Deploys what is live again in the environments that see the change.
async fn deploy(
    connection: &mut PgConnection,
    app: &App,
    who: &Who,
    project: &Project,
    environment: Option<EnvironmentId>,
) -> Answer<()> {
    let all = environments::list(connection, who.organisation, &[project.id]).await?;
    let concerned = |it: &&Environment| environment.is_none_or(|id| id == it.id);
    for environment in all.iter().filter(concerned) {
        redeploy_live(connection, app, who, environment.id).await?;
    }
    Ok(())
}

#[utoipa::path(get, path = "/projects/{project}/variables", tag = "variables",
    operation_id = "list_variables",
    params(("project" = String, Path, description = "Id or slug"), PageQuery),
    responses((status = 200, body = Page<Variable>)))]
/// The project's variables by name, those of single environments included.
pub async fn list(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Path(project): Path<String>,
    page: PageQuery,
) -> Answer<Json<Page<Variable>>> {
    let mut connection = app.database.acquire().await?;
    let project = named::project(&mut connection, &caller, &project).await?;
    let organisation = caller.organisation;
    let vault = Vault::open(&mut connection, &app.master_key, organisation, project.id).await?;
    let after = page.after::<Behind>()?.map(|behind| behind.0);
    let rows =
        variables::list(&mut connection, organisation, project.id, after.as_ref(), page.rows())
            .await?;
    let shown = rows.into_iter().map(|row| {
        let position = Behind(Position { name: row.name.clone(), environment: row.environment_id });
        Ok((position, show(&vault, row)?))
    });
    let shown = shown.collect::<Answer<Vec<_>>>()?;
    Ok(Json(page.finish(shown, |(position, _)| position.to_string(), |(_, view)| view)))
}

/// The text of a position: the name, and the environment behind a colon, which no name has.
struct Behind(Position);

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)?;
        self.0.environment.map_or(Ok(()), |environment| write!(f, ":{environment}"))
    }
}

impl FromStr for Behind {
    type Err = Code;

    fn from_str(text: &str) -> Result<Self, Code> {
        let (name, environment) = match text.split_once(':') {
            Some((name, id)) => (name, Some(id.parse().map_err(|_| Code::InvalidCursor)?)),
            None => (text, None),
        };
        check_variable_name(name).map_err(|_| Code::InvalidCursor)?;
        Ok(Self(Position { name: name.to_owned(), environment }))
    }
}

fn show(vault: &Vault, row: variables::Variable) -> Answer<Variable> {
    let value = if row.secret { None } else { Some(vault.decrypt(&row)?) };
    Ok(Variable::new(row, value))
}

#[utoipa::path(get, path = "/projects/{project}/variables/{name}", tag = "variables",
    operation_id = "get_variable", params(
        ("project" = String, Path, description = "Id or slug"),
        ("name" = String, Path, description = "Name of the variable"), ScopeQuery),
    responses((status = 200, body = Variable)))]
/// One variable; secret values are never shown.
pub async fn get(
    State(app): State<App>,
    caller: Caller<can::ReadProjects>,
    Path((project, name)): Path<(String, String)>,
    ValidQuery(query): ValidQuery<ScopeQuery>,
) -> Answer<Json<Variable>> {
    check_variable_name(&name).map_err(|_| Problem::not_found())?;
    let mut connection = app.database.acquire().await?;
    let project = named::project(&mut connection, &caller, &project).await?;
    let environment =
        scope(&mut connection, &caller, &project, query.environment.as_deref()).await?;
    let organisation = caller.organisation;
    let row = variables::get(&mut connection, organisation, project.id, environment, &name).await?;
    let row = row.ok_or_else(Problem::not_found)?;
    let vault = Vault::open(&mut connection, &app.master_key, organisation, project.id).await?;
    Ok(Json(show(&vault, row)?))
}

#[utoipa::path(delete, path = "/projects/{project}/variables/{name}", tag = "variables",
    operation_id = "delete_variable", params(
        ("project" = String, Path, description = "Id or slug"),
        ("name" = String, Path, description = "Name of the variable"), ScopeQuery, ChangeQuery),
    responses((status = 204, description = "Removed")))]
/// Removes a variable; what runs keeps it until the next deployment.
pub async fn delete(
    State(app): State<App>,
    caller: Caller<can::WriteProjects>,
    Path((project, name)): Path<(String, String)>,
    ValidQuery(query): ValidQuery<ScopeQuery>,
    ValidQuery(change): ValidQuery<ChangeQuery>,
) -> Answer<Response> {
    check_variable_name(&name).map_err(|_| Problem::not_found())?;
    let mut transaction = app.database.begin().await?;
    let project = named::project(&mut transaction, &caller, &project).await?;
    let environment =
        scope(&mut transaction, &caller, &project, query.environment.as_deref()).await?;
    let organisation = caller.organisation;
    let removed =
        variables::delete(&mut transaction, organisation, project.id, environment, &name).await?;
    if !removed {
        return Err(Problem::not_found().into());
    }
    let detail = json!({ "environment": environment, "name": name });
    caller.audit(&mut transaction, "variable.delete", project.id, detail).await?;
    if change.deploy {
        deploy(&mut transaction, &app, &caller, &project, environment).await?;
    }
    caller.conclude(transaction, StatusCode::NO_CONTENT).await
}
