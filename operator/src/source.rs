//! Where a build fetches its commit.

use zeitwork_database::views::nodes::Build;

use crate::{Config, Error};

/// The repository's address, without credentials.
pub(crate) fn repository_url(config: &Config, build: &Build) -> Result<String, Error> {
    match (&build.url, &build.repository) {
        (Some(url), _) => Ok(url.clone()),
        (None, Some(repository)) => Ok(format!("{}/{repository}.git", config.github_url)),
        (None, None) => Err(Error::Unfit(format!("the project of {} has no repository", build.id))),
    }
}
