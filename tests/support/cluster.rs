//! One platform, run by `zeitwork up` beside a GitHub of its own.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zeitwork_stand_ins::github::{Github, Options, Repository};

use crate::eventually;
use crate::http::Ask;
use crate::up::{PUBLIC, Up, free_ports, program};
use crate::user::LIVE_LIMIT;

/// A running platform; dropping it stops it as Ctrl-C does.
pub struct Cluster {
    /// GitHub, as far as the platform can tell.
    pub github: Github,
    up: Up,
}

impl DerefMut for Cluster {
    fn deref_mut(&mut self) -> &mut Up {
        &mut self.up
    }
}

impl Deref for Cluster {
    type Target = Up;

    fn deref(&self) -> &Up {
        &self.up
    }
}

impl Cluster {
    /// Starts a platform and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not become ready; its logs are shown.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with further settings.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let mut cluster = Self::prepare(settings).await;
        cluster.up.start(&[]).await;
        cluster
    }

    /// A platform that has not been started yet.
    ///
    /// # Panics
    /// Where there is no engine or no stand-in for GitHub.
    pub async fn prepare(settings: &[(&str, &str)]) -> Self {
        let mut up = Up::prepare(PUBLIC).await;
        let webhook_url = Some(format!("http://{}/api/v1/webhooks/github", up.api));
        let github = Github::start(Options { webhook_url, ..Options::default() }).await.unwrap();
        let key_file = github.private_key_file().display().to_string();
        up.set("ZEITWORK_GITHUB_URL", github.url());
        up.set("ZEITWORK_GITHUB_API_URL", &github.api_url());
        up.set("ZEITWORK_GITHUB_APP_ID", &github.app_id().to_string());
        up.set("ZEITWORK_GITHUB_PRIVATE_KEY_FILE", &key_file);
        up.set("ZEITWORK_GITHUB_WEBHOOK_SECRET", github.webhook_secret());
        let git = github.address.to_string();
        up.set("ZEITWORK_GIT_INSECURE_HOSTS", &git);
        for (name, value) in settings {
            match *name {
                // GitHub stays one of them.
                "ZEITWORK_GIT_INSECURE_HOSTS" => up.set(name, &format!("{git},{value}")),
                name => up.set(name, value),
            }
        }
        Self { github, up }
    }

    /// Stops the platform as Ctrl-C does and starts it again on the same state.
    ///
    /// # Panics
    /// Where it does not become ready again.
    pub async fn restart(&mut self) {
        self.restart_with(&[]).await;
    }

    /// The same, started with further arguments.
    ///
    /// # Panics
    /// As [`Cluster::restart`].
    pub async fn restart_with(&mut self, arguments: &[&str]) {
        self.up.stop();
        self.up.start(arguments).await;
    }

    /// Stops the platform as Ctrl-C does.
    pub fn stop(&mut self) {
        self.up.stop();
    }

    /// Kills the supervisor, every daemon and the database at once, then starts again.
    ///
    /// # Panics
    /// Where it does not become ready again.
    pub async fn power_cut(&mut self) {
        self.up.kill_everything();
        self.up.start(&[]).await;
    }

    /// Pushes the current commit, and returns once the platform has taken it.
    ///
    /// # Panics
    /// Where git says no, or the platform does not take it.
    pub async fn push(&self, repository: &Repository) {
        repository.push().await.unwrap();
        let commit = repository.copy.git(&["rev-parse", "HEAD"]).await.unwrap();
        self.taken(commit.trim()).await;
    }

    /// Waits until the platform has taken the push of this commit. GitHub tells of it once; where
    /// that was no success it is asked to do so again, as its App page lets one do.
    ///
    /// # Panics
    /// Where the platform does not take it.
    pub async fn taken(&self, commit: &str) {
        eventually(&format!("the push of {commit} is taken"), LIVE_LIMIT, || async {
            let mut attempts = self.github.deliveries();
            attempts.retain(|attempt| attempt.event.payload["after"] == commit);
            if attempts.iter().any(|attempt| attempt.status_code == 202) {
                return Ok(());
            }
            let last = attempts.pop().ok_or_else(|| "nobody was told".to_owned())?;
            self.github.deliver(&last.event).await;
            Err(format!("{last:?}"))
        })
        .await;
    }

    /// Fails unless everything that must hold holds, once what is under way is over.
    ///
    /// # Panics
    /// Where a rule stays broken.
    pub async fn assert_consistent(&self) {
        let key = self.owner_key();
        let host = self.api.to_string();
        eventually("the installation is consistent", LIVE_LIMIT, || async {
            let ask = Ask { key: Some(&key), ..Ask::get(&host, "/api/v1/system/consistency") };
            let answer = ask.send(self.api).await?;
            if answer.status.is_success() && answer.json()["consistent"] == true {
                return Ok(());
            }
            Err(answer.text())
        })
        .await;
    }

    /// Starts one more operator with the settings of the first; it ends with the returned value.
    ///
    /// # Panics
    /// Where the first does not run.
    #[must_use]
    pub fn another_operator(&self) -> Operator {
        let [address] = free_ports();
        let directory = tempfile::Builder::new().prefix("zw-operator-").tempdir().unwrap();
        let log = std::fs::File::create(self.state.join("log/operator-two.log")).unwrap();
        let pid = self.pid("operator").unwrap();
        let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
        let process = Command::new(program("zeitwork-operator"))
            .env_clear()
            .envs(environment.split('\0').filter_map(|item| item.split_once('=')))
            .env("ZEITWORK_STATE_DIR", directory.path())
            .env("ZEITWORK_OPERATOR_ADDRESS", address.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Operator { process, _directory: directory }
    }

    /// Starts one more edge on the same database; it ends with the returned value.
    ///
    /// # Panics
    /// Where it does not answer in time.
    pub async fn another_edge(&self) -> Edge {
        let [address, admin] = free_ports();
        let directory = tempfile::Builder::new().prefix("zw-edge-").tempdir().unwrap();
        let log = std::fs::File::create(self.state.join("log/edge-two.log")).unwrap();
        let url = self.state.join("edge/database.url").display().to_string();
        let process = Command::new(program("zeitwork-edge-proxy"))
            .env("ZEITWORK_STATE_DIR", directory.path())
            .env("ZEITWORK_DATABASE_URL_FILE", url)
            .env("ZEITWORK_EDGE_HTTP_ADDRESS", address.to_string())
            .env("ZEITWORK_EDGE_ADMIN_ADDRESS", admin.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let edge = Edge { address, process, _directory: directory };
        eventually("the second edge has its table", LIVE_LIMIT, || async {
            let ready = Ask::get("edge", "/readyz").send(admin).await?;
            if ready.status.is_success() { Ok(()) } else { Err(ready.text()) }
        })
        .await;
        edge
    }
}

/// One more operator.
pub struct Operator {
    process: Child,
    _directory: tempfile::TempDir,
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One more edge.
pub struct Edge {
    /// Where it answers.
    pub address: SocketAddr,
    process: Child,
    _directory: tempfile::TempDir,
}

impl Edge {
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap_or(i32::MAX)), signal);
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
