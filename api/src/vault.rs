//! The project's data key, and variables in and out of it.

use zeitwork_database::projects::{self, ProjectKey};
use zeitwork_database::variables::Variable;
use zeitwork_database::{Error as DatabaseError, PgConnection};
use zeitwork_model::id::{OrganisationId, ProjectId};
use zeitwork_secrets::{DataKey, MasterKey, Place};

use crate::error::Answer;

/// A project's data keys, opened.
pub struct Vault {
    keys: Vec<(i32, DataKey)>,
}

impl Vault {
    /// Makes the first key of a new project.
    pub async fn create(
        connection: &mut PgConnection,
        master: &MasterKey,
        project: ProjectId,
    ) -> Answer<()> {
        let (version, row) = (1, project.to_string());
        let place = Place::project_key(&row, "1");
        let wrapped = master.wrap(&DataKey::generate(), place)?;
        let key = ProjectKey { version, master_key: master.id().to_owned(), wrapped };
        Ok(projects::insert_key(connection, project, &key).await?)
    }

    /// Opens the keys of a project.
    pub async fn open(
        connection: &mut PgConnection,
        master: &MasterKey,
        organisation: OrganisationId,
        project: ProjectId,
    ) -> Answer<Self> {
        let row = project.to_string();
        let mut keys = Vec::new();
        for key in projects::keys(connection, organisation, project).await? {
            let version = key.version.to_string();
            let data_key = master.unwrap(&key.wrapped, Place::project_key(&row, &version))?;
            keys.push((key.version, data_key));
        }
        Ok(Self { keys })
    }

    /// Encrypts a value for its row, with the newest key: its version and the ciphertext.
    pub fn encrypt(&self, variable: &str, value: &str) -> Answer<(i32, Vec<u8>)> {
        let (version, key) = self.keys.first().ok_or(DatabaseError::NotFound("project key"))?;
        Ok((*version, key.encrypt(value.as_bytes(), Place::variable(variable))?))
    }

    /// The value of a variable.
    pub fn decrypt(&self, variable: &Variable) -> Answer<String> {
        let key = self.keys.iter().find(|(version, _)| *version == variable.key_version);
        let (_, key) = key.ok_or(DatabaseError::NotFound("project key"))?;
        let row = variable.id.to_string();
        let value = key.decrypt(&variable.ciphertext, Place::variable(&row))?;
        Ok(String::from_utf8_lossy(&value).into_owned())
    }
}
