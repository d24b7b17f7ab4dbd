//! The sample: a repository on the stand-in for GitHub, pushed with real git, deployed by its
//! webhook like every other.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;
use zeitwork_outbound::Client;
use zeitwork_runtime::config::Sources;

use super::daemon::Daemon;
use super::home::{Account, Home};
use crate::api::Api;
use crate::output::Output;

/// Name of the sample's project and repository.
const PROJECT: &str = "hello";
const REPOSITORY: &str = "acme/hello";
const START_LIMIT: Duration = Duration::from_mins(1);
/// A first build may have to fetch its base image.
const LIVE_LIMIT: Duration = Duration::from_mins(5);

/// The running stand-in, as it announced itself.
#[derive(Debug, Deserialize)]
pub struct Demo {
    url: String,
    api_url: String,
    app_id: Value,
    private_key_file: PathBuf,
    webhook_secret: String,
    insecure_host: String,
    sample: Sample,
}

#[derive(Debug, Deserialize)]
struct Sample {
    working_copy: PathBuf,
    commit: String,
}

/// The sample, live.
#[derive(Debug)]
pub struct App {
    /// Where it answers.
    pub address: String,
    /// Where to push from.
    pub working_copy: PathBuf,
}

/// The stand-in as a daemon, and the file that it announces itself in.
pub fn daemon(home: &Home, api: &str) -> Result<(Daemon, PathBuf)> {
    let state = home.state.join("demo");
    let program = home.program("zeitwork-stand-ins")?;
    let sample = sample_directory()?;
    let api = api.split(',').next().unwrap_or_default().trim().to_owned();
    let arguments = [
        "github",
        "--state",
        &state.display().to_string(),
        "--webhook-url",
        &format!("http://{api}/api/v1/webhooks/github"),
        "--sample",
        &sample.display().to_string(),
        "--repository",
        REPOSITORY,
        "--working-copy",
        &home.state.join(PROJECT).display().to_string(),
    ];
    let environment = ["PATH", "LANG"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .chain([("HOME".to_owned(), state.display().to_string())])
        .collect();
    let daemon = Daemon {
        name: "stand-ins".to_owned(),
        program,
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        account: Account::Own,
        low_ports: false,
        environment,
        stop_limit: Duration::from_secs(5),
    };
    let file = state.join("github.json");
    let _ = std::fs::remove_file(&file);
    Ok((daemon, file))
}

/// `deploy/sample` of the source tree that this program was built from.
fn sample_directory() -> Result<PathBuf> {
    let executable = std::env::current_exe()?;
    executable
        .ancestors()
        .map(|directory| directory.join("deploy/sample"))
        .find(|directory| directory.is_dir())
        .context("the sample (deploy/sample) is not beside this program: use `zeitwork up` without --demo")
}

impl Demo {
    /// Waits until the stand-in has announced itself.
    pub async fn wait_for(file: &Path) -> Result<Self> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Ok(text) = std::fs::read_to_string(file) {
                return serde_json::from_str(&text).with_context(|| file.display().to_string());
            }
            if Instant::now() > deadline {
                bail!("the stand-in for GitHub did not start within {} s", START_LIMIT.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The settings that make the platform talk to it as to GitHub, above all that is set. Git
    /// servers that may be spoken to without TLS (`insecure`, as given) stay so.
    pub fn settings(&self, sources: Sources, insecure: Option<&str>) -> Sources {
        let app_id = self.app_id.as_str().map_or_else(|| self.app_id.to_string(), str::to_owned);
        let insecure = insecure.filter(|given| !given.is_empty()).into_iter();
        let insecure: Vec<&str> = insecure.chain([self.insecure_host.as_str()]).collect();
        sources.with_flags([
            ("ZEITWORK_GITHUB_URL", self.url.clone()),
            ("ZEITWORK_GITHUB_API_URL", self.api_url.clone()),
            ("ZEITWORK_GITHUB_APP_ID", app_id),
            ("ZEITWORK_GITHUB_PRIVATE_KEY_FILE", self.private_key_file.display().to_string()),
            ("ZEITWORK_GITHUB_WEBHOOK_SECRET", self.webhook_secret.clone()),
            ("ZEITWORK_GIT_INSECURE_HOSTS", insecure.join(",")),
        ])
    }

    /// Makes the project on the first start, pushes, and waits until the newest commit is live.
    pub async fn deploy(&self, home: &Home, api: &Api, edge: &str, output: &Output) -> Result<App> {
        output.step("image for the sample");
        ensure_base_image(home).await?;
        let project = if let Some(project) = api.get(&format!("/projects/{PROJECT}")).await? {
            project
        } else {
            let source = json!({"kind": "github", "repository": REPOSITORY});
            api.post("/projects", &json!({"name": "Hello", "slug": PROJECT, "source": source}))
                .await?
        };
        output.step("pushing the sample");
        self.push().await?;
        self.wait_until_live(api, output).await?;
        let address = project.pointer("/environments/0/address").and_then(Value::as_str);
        let address = address.context("the project has no address")?.to_owned();
        output.step("sample: waiting for its page");
        wait_until_served(&address, edge).await?;
        Ok(App { address, working_copy: self.sample.working_copy.clone() })
    }

    async fn push(&self) -> Result<()> {
        let copy = self.sample.working_copy.display().to_string();
        let mut command = tokio::process::Command::new("git");
        command.args(["-C", &copy, "push", "--quiet", "origin", "HEAD"]).kill_on_drop(true);
        let pushed = command.output().await.context("git")?;
        if !pushed.status.success() {
            bail!("git push: {}", String::from_utf8_lossy(&pushed.stderr).trim());
        }
        Ok(())
    }

    async fn wait_until_live(&self, api: &Api, output: &Output) -> Result<()> {
        let deadline = Instant::now() + LIVE_LIMIT;
        let mut shown = String::new();
        loop {
            let page = api.get(&format!("/projects/{PROJECT}/deployments?limit=50")).await?;
            let items = page.as_ref().and_then(|page| page.get("items")).and_then(Value::as_array);
            let ours = items.into_iter().flatten().find(|item| {
                item.get("commit").and_then(Value::as_str) == Some(self.sample.commit.as_str())
            });
            let status = ours
                .and_then(|item| item.get("status"))
                .and_then(Value::as_str)
                .unwrap_or("waiting for the webhook");
            if status != shown {
                output.step(&format!("sample: {status}"));
                status.clone_into(&mut shown);
            }
            match status {
                "live" => return Ok(()),
                "failed" | "cancelled" | "skipped" => {
                    let reason =
                        ours.and_then(|item| item.pointer("/reason/text")).and_then(Value::as_str);
                    bail!("the sample is {status}: {}", reason.unwrap_or("no reason was given"));
                }
                _ if Instant::now() > deadline => {
                    bail!("the sample is not live after {} s", LIVE_LIMIT.as_secs())
                }
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// Waits until the edge answers with the sample's own page: after a stop its instance starts
/// again, though its deployment was live all the time.
async fn wait_until_served(address: &str, edge: &str) -> Result<()> {
    let host = Url::parse(address)?.host_str().context("the address has no host")?.to_owned();
    let client = Client::builder("up").build()?;
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let ask = client.get(format!("http://{edge}/")).header("host", &host);
        match client.send(ask).await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) if Instant::now() > deadline => {
                bail!("{address} answers {} after {} s", answer.status(), START_LIMIT.as_secs())
            }
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            _ => tokio::time::sleep(Duration::from_millis(25)).await,
        }
    }
}

async fn ensure_base_image(home: &Home) -> Result<()> {
    let mut command = tokio::process::Command::new(home.program("zeitwork-stand-ins")?);
    command.arg("busybox").arg("--engine").arg(super::engine::socket()?).kill_on_drop(true);
    let made = command.output().await?;
    if !made.status.success() {
        bail!("the image busybox: {}", String::from_utf8_lossy(&made.stderr).trim());
    }
    Ok(())
}
