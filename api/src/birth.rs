//! What comes into being together with an environment: its `web` process and its address.

use zeitwork_database::domains::{self, NewInternalDomain};
use zeitwork_database::environments::{self, NewEnvironment, Process};
use zeitwork_database::{Error as DatabaseError, PgConnection};
use zeitwork_model::environment::{EnvironmentKind, ProcessConfiguration, WEB};
use zeitwork_model::id::{DomainId, EnvironmentId};
use zeitwork_model::name::{internal_label, is_reserved_label};

use crate::config::Config;
use crate::error::{Answer, taken};
use crate::quota::ENVIRONMENTS;
use zeitwork_database::projects::Project;

/// With four random characters a label is free at the first try almost always.
const TRIES: usize = 16;

/// Makes an environment that is ready to be deployed to.
pub async fn environment(
    connection: &mut PgConnection,
    config: &Config,
    project: &Project,
    name: &str,
    kind: EnvironmentKind,
    branch: Option<&str>,
) -> Answer<EnvironmentId> {
    let there = environments::count(connection, project.organisation_id, project.id).await?;
    ENVIRONMENTS.has_room_beside(there)?;
    let id = EnvironmentId::new();
    let new = NewEnvironment {
        id,
        organisation_id: project.organisation_id,
        project_id: project.id,
        name,
        kind,
        branch,
    };
    environments::insert(connection, &new).await.map_err(taken("environments_name", "/name"))?;
    let process = Process {
        environment_id: id,
        name: WEB.to_owned(),
        replicas: 1,
        configuration: ProcessConfiguration::default().into(),
    };
    environments::put_process(connection, project.organisation_id, &process).await?;
    address(connection, config, project, id, name).await?;
    Ok(id)
}

/// The internal domain: the plain label if nobody has it, else with `-` and four characters.
async fn address(
    connection: &mut PgConnection,
    config: &Config,
    project: &Project,
    environment: EnvironmentId,
    name: &str,
) -> Answer<()> {
    let plain = internal_label(&project.slug, name);
    for attempt in 0..TRIES {
        let label = match attempt {
            0 if is_reserved_label(&plain) => continue,
            0 => plain.clone(),
            _ => format!("{plain}-{}", suffix()),
        };
        let new = NewInternalDomain {
            id: DomainId::new(),
            organisation_id: project.organisation_id,
            project_id: project.id,
            environment_id: environment,
            label: &label,
            host: &config.host_of(&label),
        };
        if domains::insert_internal(connection, &new).await? {
            return Ok(());
        }
    }
    Err(DatabaseError::Stale("address").into())
}

fn suffix() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnopqrstuvwxyz2345678";
    let mut random = [0u8; 4];
    rand::fill(&mut random);
    random.iter().map(|byte| char::from(LETTERS[usize::from(byte & 31)])).collect()
}
