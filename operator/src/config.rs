//! The operator's settings.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use secrecy::SecretString;
use zeitwork_outbound::HostPort;
use zeitwork_runtime::{Common, ConfigError, Settings};

use crate::github::GithubSettings;

/// What the operator is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where `/healthz`, `/readyz` and `/metrics` are served.
    pub addresses: Vec<SocketAddr>,
    /// The database; none is an error of `main`.
    pub database_url: Option<SecretString>,
    /// File of the master key.
    pub master_key_file: PathBuf,
    /// GitHub, for the addresses of repositories.
    pub github_url: String,
    /// The GitHub App; none where none is configured.
    pub github: Option<GithubSettings>,
    /// Private networks that git servers may be in.
    pub egress_allow: Vec<IpNetwork>,
    /// Git servers that may be spoken to without TLS.
    pub git_insecure_hosts: Vec<HostPort>,
    /// URL of the api for the world, without a slash at its end.
    pub public_url: Option<String>,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// The mistakes noted; [`Settings::finish`] has all of them.
    pub fn read(settings: &Settings) -> Result<Self, ConfigError> {
        let common = Common::read(settings);
        let addresses = settings.list("ZEITWORK_OPERATOR_ADDRESS");
        let file = settings.optional::<PathBuf>("ZEITWORK_MASTER_KEY_FILE");
        let github_url = settings.required::<String>("ZEITWORK_GITHUB_URL");
        let github = GithubSettings::read(settings);
        let egress_allow = settings.list("ZEITWORK_EGRESS_ALLOW");
        let git_insecure_hosts = settings.list("ZEITWORK_GIT_INSECURE_HOSTS");
        let public_url = settings.optional::<String>("ZEITWORK_PUBLIC_URL");
        let common = common?;
        Ok(Self {
            addresses: addresses?,
            database_url: common.database_url,
            master_key_file: file?.unwrap_or_else(|| common.state_dir.join("master.key")),
            github_url: github_url?.trim_end_matches('/').to_owned(),
            github: github?,
            egress_allow: egress_allow?,
            git_insecure_hosts: git_insecure_hosts?,
            public_url: public_url?.map(|url| url.trim_end_matches('/').to_owned()),
        })
    }
}
