//! What the api is told.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;
use zeitwork_auth::ApiKey;
use zeitwork_runtime::config::{Common, Noted, Settings};

/// The settings of the api.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// The database; absent only in tests, which hand in a pool.
    pub database_url: Option<SecretString>,
    /// Apps get their names below it.
    pub base_domain: String,
    /// Port of the apps' addresses.
    pub edge_port: u16,
    /// Wraps the projects' data keys; made on first start.
    pub master_key_file: PathBuf,
    /// The owner's key, if it was given.
    pub owner_key: Option<ApiKey>,
    /// Secrets of GitHub's webhook; none: the endpoint answers 503.
    pub webhook_secrets: Vec<SecretString>,
    /// `host:port` that may be cloned from over plain HTTP.
    pub insecure_hosts: Vec<String>,
}

impl Config {
    /// Reads them.
    ///
    /// # Errors
    /// The mistakes noted for them.
    pub fn read(settings: &Settings) -> Result<Self, Noted> {
        let common = Common::read(settings);
        let addresses = settings.list("ZEITWORK_API_ADDRESS");
        let base_domain = settings.required::<String>("ZEITWORK_BASE_DOMAIN");
        let edge = settings.list::<SocketAddr>("ZEITWORK_EDGE_HTTP_ADDRESS");
        let master_key_file = settings.optional("ZEITWORK_MASTER_KEY_FILE");
        let owner_key = owner_key(settings);
        let webhook_secrets = settings.secret_list("ZEITWORK_GITHUB_WEBHOOK_SECRET");
        let insecure_hosts = settings.list::<String>("ZEITWORK_GIT_INSECURE_HOSTS");
        let common = common?;
        Ok(Self {
            addresses: addresses?,
            base_domain: base_domain?.to_ascii_lowercase(),
            edge_port: edge?.first().map_or(80, SocketAddr::port),
            master_key_file: master_key_file?
                .unwrap_or_else(|| common.state_dir.join("master.key")),
            owner_key: owner_key?,
            webhook_secrets: webhook_secrets?,
            insecure_hosts: insecure_hosts?,
            database_url: common.database_url,
        })
    }

    /// Where an environment is reached whose internal domain has this label.
    #[must_use]
    pub fn address_of(&self, label: &str) -> String {
        let host = self.host_of(label);
        match self.edge_port {
            80 => format!("http://{host}"),
            port => format!("http://{host}:{port}"),
        }
    }

    /// The host of an internal domain with this label.
    #[must_use]
    pub fn host_of(&self, label: &str) -> String {
        format!("{label}.{}", self.base_domain)
    }
}

fn owner_key(settings: &Settings) -> Result<Option<ApiKey>, Noted> {
    use secrecy::ExposeSecret as _;
    let name = "ZEITWORK_OWNER_KEY";
    let Some(text) = settings.secret(name)? else { return Ok(None) };
    ApiKey::parse_given(text.expose_secret())
        .map(Some)
        .map_err(|error| settings.note(name, &error.to_string()))
}
