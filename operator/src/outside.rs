//! The outside world of the operator: GitHub, git servers, and our own address in links.

use zeitwork_outbound::Guard;
use zeitwork_runtime::Clock;

use crate::git_refs::GitRefs;
use crate::github::Github;
use crate::{Config, Error};

/// What reconcilers reach beyond the database.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    /// None where no App is configured.
    pub(crate) github: Option<Github>,
    pub(crate) refs: GitRefs,
    /// Of the api for people, without a slash at its end.
    pub(crate) public_url: Option<String>,
}

impl Outside {
    /// Sends nothing yet.
    pub(crate) fn new(config: &Config, clock: &Clock) -> Result<Self, Error> {
        let settings = config.github.clone();
        let github = settings.map(|settings| Github::new(settings, clock.clone())).transpose()?;
        let guard = Guard::new(config.egress_allow.clone(), config.git_insecure_hosts.clone());
        Ok(Self { github, refs: GitRefs::new(guard)?, public_url: config.public_url.clone() })
    }
}
