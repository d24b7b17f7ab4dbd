//! Things named in the path. What is no id, no slug or not the caller's is all the same: 404.

use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use zeitwork_database::PgConnection;
use zeitwork_database::environments::{self, Environment, EnvironmentName};
use zeitwork_database::projects::{self, Project, ProjectName};
use zeitwork_model::name::check_slug;
use zeitwork_web::Problem;

use crate::error::{Answer, Refusal};
use crate::extract::Who;

/// The last parameter of the path as an id.
#[derive(Debug)]
pub struct Id<T>(pub T);

impl<T: FromStr, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let params = RawPathParams::from_request_parts(parts, state).await.ok();
        let last = params.as_ref().and_then(|params| params.iter().last());
        last.and_then(|(_, text)| text.parse().ok())
            .map(Self)
            .ok_or_else(|| Problem::not_found().into())
    }
}

/// The caller's project.
pub async fn project(connection: &mut PgConnection, who: &Who, name: &str) -> Answer<Project> {
    let name = ProjectName::from_text(name);
    if let ProjectName::Slug(slug) = name {
        check_slug(slug).map_err(|_| Problem::not_found())?;
    }
    let found = projects::get(connection, who.organisation, &name).await?;
    Ok(found.ok_or_else(Problem::not_found)?)
}

/// The caller's environment.
pub async fn environment(
    connection: &mut PgConnection,
    who: &Who,
    project: &Project,
    name: &str,
) -> Answer<Environment> {
    let name = EnvironmentName::from_text(name);
    if let EnvironmentName::Name(name) = name {
        check_slug(name).map_err(|_| Problem::not_found())?;
    }
    let found = environments::get(connection, who.organisation, project.id, &name).await?;
    Ok(found.ok_or_else(Problem::not_found)?)
}

/// The caller's project and environment.
pub async fn pair(
    connection: &mut PgConnection,
    who: &Who,
    names: &(String, String),
) -> Answer<(Project, Environment)> {
    let project = self::project(connection, who, &names.0).await?;
    let environment = self::environment(connection, who, &project, &names.1).await?;
    Ok((project, environment))
}
