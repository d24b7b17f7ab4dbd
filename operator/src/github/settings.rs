//! Where GitHub is and who we are there.

use secrecy::SecretString;
use zeitwork_outbound::reqwest::Url;
use zeitwork_runtime::config::Noted;
use zeitwork_runtime::{ConfigError, Settings};

#[cfg(test)]
mod tests;

/// An App on github.com or an Enterprise Server.
#[derive(Debug, Clone)]
pub struct GithubSettings {
    /// Where git and people go, without a slash at its end.
    pub url: String,
    /// Of the REST API.
    pub api_url: Url,
    /// The App's number.
    pub app_id: u64,
    /// The App's RSA key in PEM.
    pub private_key: SecretString,
}

impl GithubSettings {
    /// Reads them; none where no App is configured.
    ///
    /// # Errors
    /// The mistakes noted: an App id without its key among them.
    pub fn read(settings: &Settings) -> Result<Option<Self>, ConfigError> {
        let url = settings.required::<Url>("ZEITWORK_GITHUB_URL");
        let api_url = settings.required::<Url>("ZEITWORK_GITHUB_API_URL");
        let app_id = settings.optional::<u64>("ZEITWORK_GITHUB_APP_ID");
        let private_key = settings.secret_file("ZEITWORK_GITHUB_PRIVATE_KEY_FILE");
        let url = url?.as_str().trim_end_matches('/').to_owned();
        let Some(app_id) = app_id? else { return Ok(None) };
        let private_key = private_key?.ok_or_else(|| Self::without_key(settings))?;
        Ok(Some(Self { url, api_url: api_url?, app_id, private_key }))
    }

    fn without_key(settings: &Settings) -> Noted {
        let text = "is not set, but ZEITWORK_GITHUB_APP_ID is: set both or none";
        settings.note("ZEITWORK_GITHUB_PRIVATE_KEY_FILE", text)
    }
}
