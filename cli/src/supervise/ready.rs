//! Waiting until the platform that was started is ready, and saying for what.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use zeitwork_auth::api_key::ApiKey;
use zeitwork_runtime::config::Settings;

use super::home::Home;
use crate::api::Api;
use crate::output::Output;

/// Longest start until the platform says that it is ready.
const LIMIT: Duration = Duration::from_mins(2);
/// Longest time until the owner's key works after that.
const KEY_LIMIT: Duration = Duration::from_secs(5);
/// What is waited for longer than this is said.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Waits for the api and all that it needs.
pub async fn wait(home: &Home, settings: &Settings, key: &ApiKey, output: &Output) -> Result<Api> {
    let address = settings.raw("ZEITWORK_API_ADDRESS").unwrap_or_default();
    let address = address.split(',').next().unwrap_or_default().trim();
    let api = Api::new(&format!("http://{address}"), key.expose())?;
    let started = Instant::now();
    let mut said = String::new();
    loop {
        let missing = match api.readiness().await {
            Ok(None) => return Ok(api),
            Ok(Some(missing)) => missing,
            Err(_) => "the api does not answer yet".to_owned(),
        };
        if started.elapsed() > LIMIT {
            let log = home.state.join("log");
            bail!("not ready after {} s: {missing}; logs: {}", LIMIT.as_secs(), log.display());
        }
        if started.elapsed() > PATIENCE && missing != said {
            output.step(&format!("still waiting: {missing}"));
            said = missing;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until the api knows the key, which it stores as soon as it has its database.
pub async fn known(api: &Api) -> Result<()> {
    let deadline = Instant::now() + KEY_LIMIT;
    loop {
        match api.list("/projects", 1).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
