//! Where a project's code comes from, as callers say it.

use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use zeitwork_model::project::SourceKind;
use zeitwork_web::Problem;

use crate::config::Config;
use crate::error::Answer;
use crate::input;

/// Where the code comes from.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSource)]
pub struct SourceInput {
    /// `github` or `git`.
    #[garde(skip)]
    pub kind: InputKind,
    /// For `github`: `owner/name`.
    #[serde(default)]
    #[garde(skip)]
    pub repository: Option<String>,
    /// For `git`: `https://…`, without credentials.
    #[serde(default)]
    #[garde(skip)]
    pub url: Option<String>,
    /// Directory of the checkout that is built; its root if absent.
    #[serde(default)]
    #[garde(custom(input::option(input::inner_path)))]
    pub root_directory: Option<String>,
    /// Relative to the root directory; `Dockerfile` if absent.
    #[serde(default)]
    #[garde(custom(input::option(input::inner_file)))]
    pub dockerfile: Option<String>,
}

/// Which kind of source.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = NewSourceKind)]
pub enum InputKind {
    /// A repository of the installed GitHub App.
    Github,
    /// Any git repository over HTTPS.
    Git,
}

/// The columns of a source.
#[derive(Debug)]
pub struct Source {
    /// Which columns are set.
    pub kind: SourceKind,
    /// GitHub: `owner/name`.
    pub repository: Option<String>,
    /// Plain git.
    pub url: Option<String>,
}

impl SourceInput {
    /// Checks what depends on the kind and on the configuration.
    pub fn resolve(&self, config: &Config) -> Answer<Source> {
        let invalid = |field: &str, text: &str| {
            Problem::invalid(format!("/source/{field}"), "invalid", text.to_owned())
        };
        match (self.kind, &self.repository, &self.url) {
            (InputKind::Github, Some(repository), None) => {
                if !input::is_repository(repository) {
                    return Err(invalid("repository", "must have the form owner/name").into());
                }
                let repository = Some(repository.clone());
                Ok(Source { kind: SourceKind::Github, repository, url: None })
            }
            (InputKind::Git, None, Some(url)) => {
                let url = input::repository_url(url, &config.insecure_hosts)
                    .map_err(|text| invalid("url", text))?;
                Ok(Source { kind: SourceKind::Git, repository: None, url: Some(url.to_string()) })
            }
            (InputKind::Github, ..) => {
                Err(invalid("repository", "a github source has a repository and no url").into())
            }
            (InputKind::Git, ..) => {
                Err(invalid("url", "a git source has a url and no repository").into())
            }
        }
    }
}
