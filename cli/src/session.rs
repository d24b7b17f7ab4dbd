//! Whom a verb talks to: the API with its key, and what the person meant by names.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use zeitwork_runtime::config::{Settings, Sources};

use crate::api::{Api, segment};
use crate::output::Output;

#[cfg(test)]
mod tests;

/// Most names that a question lists.
const NAMES_SHOWN: usize = 10;

/// What every verb gets.
pub struct Session {
    settings: Settings,
    /// Where results go.
    pub output: Output,
}

impl Session {
    /// Reads the settings.
    pub fn new(sources: Sources, api_url: Option<&str>, output: Output) -> Self {
        let flags = api_url.map(|url| ("ZEITWORK_API_URL", url));
        Self { settings: sources.with_flags(flags).load(), output }
    }

    /// Names that look like ours and are not are a warning.
    pub fn warn_of_unknown(&self) {
        for unknown in self.settings.unknown() {
            self.output.step(&format!("warning: {unknown}"));
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The state directory of the platform on this host.
    pub fn state(&self) -> PathBuf {
        PathBuf::from(self.settings.raw("ZEITWORK_STATE_DIR").unwrap_or(".zeitwork"))
    }

    /// A secret setting; every mistake in the settings is told at once.
    pub fn secret(&self, name: &'static str) -> Result<Option<SecretString>> {
        match self.settings.secret(name) {
            Ok(secret) => Ok(secret),
            Err(_) => self.settings.finish_leniently().map(|()| None).map_err(Into::into),
        }
    }

    /// The API: as set, else where `zeitwork up` serves it on this host.
    pub fn api(&self) -> Result<Api> {
        let url = self.api_url();
        let parsed = url::Url::parse(&url).ok();
        let Some(parsed) = parsed.filter(|it| matches!(it.scheme(), "http" | "https")) else {
            bail!("the API's URL {url:?} must begin with http:// or https://, then a host");
        };
        if parsed.scheme() == "http" && !is_this_host(&parsed) {
            self.output.step("warning: the key travels unencrypted: use https:// for other hosts");
        }
        let key = match self.secret("ZEITWORK_API_KEY")? {
            Some(key) => key.expose_secret().trim().to_owned(),
            None => owner_key(&self.state())?,
        };
        Api::new(&url, &key)
    }

    fn api_url(&self) -> String {
        if let Some(url) = self.settings.raw("ZEITWORK_API_URL").filter(|url| !url.is_empty()) {
            return url.to_owned();
        }
        let addresses = self.settings.raw("ZEITWORK_API_ADDRESS").unwrap_or_default();
        format!("http://{}", addresses.split(',').next().unwrap_or_default().trim())
    }
}

fn is_this_host(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(url::Host::Ipv6(address)) => address.is_loopback() || address.is_unspecified(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn owner_key(state: &Path) -> Result<String> {
    let file = state.join("owner.key");
    match std::fs::read_to_string(&file) {
        Ok(key) => Ok(key.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
            "no key: set ZEITWORK_API_KEY or ZEITWORK_API_KEY_FILE, or set ZEITWORK_STATE_DIR to \
             the directory where `zeitwork up` keeps {}",
            file.display()
        ),
        Err(error) => Err(error).with_context(|| {
            format!("{} (set ZEITWORK_API_KEY, or become its owner)", file.display())
        }),
    }
}

/// Which environment of which project.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// Slug or id of the project; may be left out where there is only one.
    #[arg(long, short)]
    pub project: Option<String>,
    /// Name or id of the environment.
    #[arg(long, short, default_value = "production")]
    pub environment: String,
}

impl Target {
    /// `/projects/{project}` of the project.
    pub async fn project_path(&self, api: &Api) -> Result<String> {
        project_path(api, self.project.as_deref()).await
    }

    /// `/projects/{project}/environments/{environment}`.
    pub async fn path(&self, api: &Api) -> Result<String> {
        let project = self.project_path(api).await?;
        Ok(format!("{project}/environments/{}", segment(&self.environment)))
    }
}

/// `/projects/{project}` of the named project, or of the only one.
pub async fn project_path(api: &Api, named: Option<&str>) -> Result<String> {
    if let Some(named) = named {
        return Ok(format!("/projects/{}", segment(named)));
    }
    let projects = api.list("/projects", NAMES_SHOWN + 1).await?;
    match projects.as_slice() {
        [] => bail!("there is no project yet: `zeitwork projects create` makes one"),
        [only] => Ok(format!("/projects/{}", segment(&text(only, "/id")))),
        several => {
            let names: Vec<String> =
                several.iter().take(NAMES_SHOWN).map(|project| text(project, "/slug")).collect();
            bail!("name one of the projects with --project: {}", names.join(", "))
        }
    }
}

/// The text at a JSON pointer; empty where there is none.
pub fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The text at a JSON pointer, or a hyphen.
pub fn text_or_dash(value: &Value, pointer: &str) -> String {
    let text = text(value, pointer);
    if text.is_empty() { "-".to_owned() } else { text }
}

/// A moment without its fraction of a second.
pub fn moment(value: &Value, pointer: &str) -> String {
    let text = text_or_dash(value, pointer);
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// A commit as people call it.
pub fn short_commit(value: &Value, pointer: &str) -> String {
    text_or_dash(value, pointer).chars().take(10).collect()
}
