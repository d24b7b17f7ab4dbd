//! Variables, encrypted, and the frozen sets that deployments keep of them.

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::id::{EnvironmentId, OrganisationId, ProjectId, VariableId, VariableSetId};
use zeitwork_model::variable::VariableAt;

use crate::{Error, Result};

/// A variable. What its ciphertext is bound to: table `variables`, row = the text of its id,
/// name `value`.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its id.
    pub id: VariableId,
    /// None: all environments of the project.
    pub environment_id: Option<EnvironmentId>,
    /// Its name.
    pub name: String,
    /// When it is visible.
    pub at: VariableAt,
    /// Whether its value is never shown.
    pub secret: bool,
    /// Version of the project's data key.
    pub key_version: i32,
    /// The encrypted value.
    pub ciphertext: Vec<u8>,
    /// When it was set last.
    pub updated_at: OffsetDateTime,
}

/// Where a variable stands in the order of the list: it stays there when others go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Its name.
    pub name: String,
    /// Its environment; those of the whole project come first.
    pub environment: Option<EnvironmentId>,
}

/// The project's variables in the order of names, behind a position.
///
/// # Errors
/// Those of every statement.
pub async fn list(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    project: ProjectId,
    after: Option<&Position>,
    limit: i64,
) -> Result<Vec<Variable>> {
    let nil = EnvironmentId(uuid::Uuid::nil());
    let environment = after.map(|after| after.environment.unwrap_or(nil));
    let rows = sqlx::query_as!(
        Variable,
        r#"select id as "id: VariableId", environment_id as "environment_id: EnvironmentId", name,
            at as "at: VariableAt", secret, key_version, ciphertext, updated_at
        from variables
        where organisation_id = $1 and project_id = $2
            and ($3::text is null or (name, coalesce(environment_id, $5)) > ($3, $4))
        order by name, coalesce(environment_id, $5)
        limit $6"#,
        organisation as OrganisationId,
        project as ProjectId,
        after.map(|after| after.name.as_str()),
        environment as Option<EnvironmentId>,
        nil as EnvironmentId,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// One variable by its name and place.
///
/// # Errors
/// Those of every statement.
pub async fn get(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    project: ProjectId,
    environment: Option<EnvironmentId>,
    name: &str,
) -> Result<Option<Variable>> {
    let row = sqlx::query_as!(
        Variable,
        r#"select id as "id: VariableId", environment_id as "environment_id: EnvironmentId", name,
            at as "at: VariableAt", secret, key_version, ciphertext, updated_at
        from variables
        where organisation_id = $1 and project_id = $2
            and environment_id is not distinct from $3 and name = $4"#,
        organisation as OrganisationId,
        project as ProjectId,
        environment as Option<EnvironmentId>,
        name
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}

/// How many variables a project has.
///
/// # Errors
/// Those of every statement.
pub async fn count(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    project: ProjectId,
) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from variables
        where organisation_id = $1 and project_id = $2"#,
        organisation as OrganisationId,
        project as ProjectId
    )
    .fetch_one(connection)
    .await?;
    Ok(count)
}

/// The id under which a variable is, or will be, stored: a value is encrypted for its row.
///
/// # Errors
/// Those of every statement.
pub async fn find_id(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    project: ProjectId,
    environment: Option<EnvironmentId>,
    name: &str,
) -> Result<Option<VariableId>> {
    let row = sqlx::query!(
        r#"select id as "id: VariableId" from variables
        where organisation_id = $1 and project_id = $2
            and environment_id is not distinct from $3 and name = $4
        for update"#,
        organisation as OrganisationId,
        project as ProjectId,
        environment as Option<EnvironmentId>,
        name
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| row.id))
}

/// Sets a variable. [`Error::Stale`] where the name was taken by another row meanwhile.
///
/// # Errors
/// Those of every statement.
pub async fn put(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    project: ProjectId,
    variable: &Variable,
) -> Result<()> {
    let written = sqlx::query!(
        "insert into variables (id, organisation_id, project_id, environment_id, name, at,
            secret, key_version, ciphertext)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (project_id, environment_id, name) do update
        set at = excluded.at, secret = excluded.secret, key_version = excluded.key_version,
            ciphertext = excluded.ciphertext, updated_at = now()
        where variables.id = excluded.id",
        variable.id as VariableId,
        organisation as OrganisationId,
        project as ProjectId,
        variable.environment_id as Option<EnvironmentId>,
        variable.name,
        variable.at.as_str(),
        variable.secret,
        variable.key_version,
        variable.ciphertext
    )
    .execute(connection)
    .await?;
    if written.rows_affected() == 0 { Err(Error::Stale("variable")) } else { Ok(()) }
}

/// Removes a variable; whether there was one.
///
/// # Errors
/// Those of every statement.
pub async fn delete(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    project: ProjectId,
    environment: Option<EnvironmentId>,
    name: &str,
) -> Result<bool> {
    let done = sqlx::query!(
        "delete from variables
        where organisation_id = $1 and project_id = $2
            and environment_id is not distinct from $3 and name = $4",
        organisation as OrganisationId,
        project as ProjectId,
        environment as Option<EnvironmentId>,
        name
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Freezes what an environment's variables are now: those of the project, replaced by its own of
/// the same name. Equal sets are one row.
///
/// # Errors
/// Those of every statement.
pub async fn freeze(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    project: ProjectId,
    environment: EnvironmentId,
) -> Result<VariableSetId> {
    let row = sqlx::query!(
        r#"with chosen as (
            select distinct on (name) id, name, at, secret, key_version, ciphertext
            from variables
            where organisation_id = $2 and project_id = $3
                and (environment_id is null or environment_id = $4)
            order by name, environment_id nulls last
        ), frozen as (
            select coalesce(jsonb_agg(jsonb_build_object(
                'id', id, 'name', name, 'at', at, 'secret', secret, 'key_version', key_version,
                'ciphertext', translate(encode(ciphertext, 'base64'), E'\n', '')
            ) order by name), '[]') as entries
            from chosen
        )
        insert into variable_sets (id, organisation_id, project_id, digest, entries)
        select $1, $2, $3, sha256(convert_to(entries::text, 'UTF8')), entries
        from frozen
        on conflict (project_id, digest) do update set digest = excluded.digest
        returning id as "id: VariableSetId""#,
        VariableSetId::new() as VariableSetId,
        organisation as OrganisationId,
        project as ProjectId,
        environment as EnvironmentId
    )
    .fetch_one(connection)
    .await?;
    Ok(row.id)
}
