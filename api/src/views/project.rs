//! Projects, domains and variables.

use serde::Serialize;
use time::OffsetDateTime;
use time::serde::rfc3339;
use utoipa::ToSchema;
use zeitwork_database::{domains, environments, projects, variables};
use zeitwork_model::id::{DomainId, EnvironmentId, ProjectId};
use zeitwork_model::project::SourceKind;
use zeitwork_model::reason::Reason;
use zeitwork_model::variable::VariableAt;

use crate::config::Config;

/// A project.
#[derive(Debug, Serialize, ToSchema)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Unique in its organisation; stands for the id in every path.
    pub slug: String,
    /// For people.
    pub name: String,
    /// Where its code comes from.
    pub source: Source,
    /// Its environments, production first.
    pub environments: Vec<EnvironmentAddress>,
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Where the code comes from.
#[derive(Debug, Serialize, ToSchema)]
pub struct Source {
    /// `github` or `git`.
    pub kind: SourceKind,
    /// GitHub: `owner/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Plain git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Directory of the checkout that is built; empty: its root.
    pub root_directory: String,
    /// Relative to the root directory.
    pub dockerfile: String,
    /// Why the source cannot be used at the moment.
    pub reason: Option<Reason>,
}

/// An environment, in short.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnvironmentAddress {
    /// Its id.
    pub id: EnvironmentId,
    /// Unique in its project.
    pub name: String,
    /// Where its app is reached.
    pub address: Option<String>,
}

impl Project {
    /// The project with those of the environments that are its own.
    pub fn new(
        config: &Config,
        row: projects::Project,
        environments: &[environments::Environment],
    ) -> Self {
        let ours = environments.iter().filter(|environment| environment.project_id == row.id);
        let environments = ours.map(|environment| EnvironmentAddress {
            id: environment.id,
            name: environment.name.clone(),
            address: environment.label.as_deref().map(|label| config.address_of(label)),
        });
        Self {
            id: row.id,
            slug: row.slug,
            name: row.name,
            source: Source {
                kind: row.source_kind,
                repository: row.repository,
                url: row.url,
                root_directory: row.root_directory,
                dockerfile: row.dockerfile,
                reason: super::reason(row.source_reason_code, row.source_reason_text),
            },
            environments: environments.collect(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A domain.
#[derive(Debug, Serialize, ToSchema)]
pub struct Domain {
    /// Its id.
    pub id: DomainId,
    /// Lower case, without port.
    pub host: String,
    /// `internal` or `custom`.
    pub kind: String,
    /// Where it leads.
    pub environment: EnvironmentId,
    /// Since when it is known to be the organisation's.
    #[serde(with = "rfc3339::option")]
    pub verified_at: Option<OffsetDateTime>,
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
}

impl From<domains::Domain> for Domain {
    fn from(row: domains::Domain) -> Self {
        Self {
            id: row.id,
            host: row.host,
            kind: row.kind,
            environment: row.environment_id,
            verified_at: row.verified_at,
            created_at: row.created_at,
        }
    }
}

/// A variable.
#[derive(Debug, Serialize, ToSchema)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; null for secret ones, which are never shown.
    pub value: Option<String>,
    /// Whether its value is never shown.
    pub secret: bool,
    /// When it is visible; a secret with `both` only at run.
    pub at: VariableAt,
    /// The one environment that has it; null: all of the project.
    pub environment: Option<EnvironmentId>,
    /// When it was set last.
    #[serde(with = "rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl Variable {
    /// The variable with its value, which is dropped where it is secret.
    pub fn new(row: variables::Variable, value: Option<String>) -> Self {
        Self {
            name: row.name,
            value: value.filter(|_| !row.secret),
            secret: row.secret,
            at: row.at,
            environment: row.environment_id,
            updated_at: row.updated_at,
        }
    }
}
