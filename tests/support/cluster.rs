//! One platform, run by `zeitwork up` on ports of its own.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use zeitwork_stand_ins::engine;
use zeitwork_stand_ins::github::{Github, Options};

use crate::eventually;
use crate::http::{Answer, Ask};

/// Longest start of a whole platform beside other tests.
const START_LIMIT: Duration = Duration::from_secs(90);

/// A running platform; dropping it stops it as Ctrl-C does.
pub struct Cluster {
    /// GitHub, as far as the platform can tell.
    pub github: Github,
    /// The state directory.
    pub state: PathBuf,
    /// Where the API answers.
    pub api: SocketAddr,
    /// Where the edge answers.
    pub edge: SocketAddr,
    process: Child,
    environment: Vec<(String, String)>,
    _directory: tempfile::TempDir,
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
        engine::ensure().await.expect("an engine");
        let directory = tempfile::Builder::new().prefix("zw-").tempdir().unwrap();
        open_to_all(directory.path());
        let state = directory.path().join("s");
        let [api, operator, node, admin, edge] = free_ports();
        let webhook_url = Some(format!("http://{api}/api/v1/webhooks/github"));
        let github = Github::start(Options { webhook_url, ..Options::default() }).await.unwrap();
        let mut environment: Vec<(String, String)> = [
            ("ZEITWORK_STATE_DIR", state.display().to_string()),
            ("ZEITWORK_API_ADDRESS", api.to_string()),
            ("ZEITWORK_OPERATOR_ADDRESS", operator.to_string()),
            ("ZEITWORK_NODE_ADDRESS", node.to_string()),
            ("ZEITWORK_EDGE_ADMIN_ADDRESS", admin.to_string()),
            ("ZEITWORK_EDGE_HTTP_ADDRESS", edge.to_string()),
            ("ZEITWORK_GITHUB_URL", github.url().to_owned()),
            ("ZEITWORK_GITHUB_API_URL", github.api_url()),
            ("ZEITWORK_GITHUB_APP_ID", github.app_id().to_string()),
            ("ZEITWORK_GITHUB_PRIVATE_KEY_FILE", github.private_key_file().display().to_string()),
            ("ZEITWORK_GITHUB_WEBHOOK_SECRET", github.webhook_secret().to_owned()),
            ("ZEITWORK_GIT_INSECURE_HOSTS", github.address.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        environment.extend(settings.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        let process = launch(&environment, &state);
        let mut cluster =
            Self { github, state, api, edge, process, environment, _directory: directory };
        cluster.wait_until_ready().await;
        cluster
    }

    async fn wait_until_ready(&mut self) {
        let deadline = std::time::Instant::now() + START_LIMIT;
        while !self.state.join("up.json").exists() {
            let ended = self.process.try_wait().unwrap();
            assert!(
                !(ended.is_some() || std::time::Instant::now() > deadline),
                "not ready (ended: {ended:?})\n{}",
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Stops the platform as Ctrl-C does and starts it again on the same state.
    ///
    /// # Panics
    /// Where it does not become ready again.
    pub async fn restart(&mut self) {
        self.stop();
        self.process = launch(&self.environment, &self.state);
        self.wait_until_ready().await;
    }

    /// Kills the supervisor, every daemon and the database at once, then starts again.
    ///
    /// # Panics
    /// Where it does not become ready again.
    pub async fn power_cut(&mut self) {
        let _ = self.process.kill();
        for daemon in ["api", "operator", "edge-proxy", "node-agent"] {
            self.signal(daemon, Signal::SIGKILL);
        }
        if let Some(pid) = self.postgres() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = self.process.wait();
        self.process = launch(&self.environment, &self.state);
        let _ = std::fs::remove_file(self.state.join("up.json"));
        self.wait_until_ready().await;
    }

    /// Stops the platform as Ctrl-C does.
    ///
    /// # Panics
    /// Where it does not stop within two minutes.
    pub fn stop(&mut self) {
        if matches!(self.process.try_wait(), Ok(Some(_))) {
            return;
        }
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        let _ = kill(pid, Signal::SIGINT);
        let deadline = std::time::Instant::now() + Duration::from_mins(2);
        while self.process.try_wait().unwrap().is_none() {
            if std::time::Instant::now() > deadline {
                let _ = self.process.kill();
                panic!("`zeitwork up` did not stop\n{}", self.logs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal to a daemon; false where it does not run.
    #[must_use]
    pub fn try_signal(&self, daemon: &str, signal: Signal) -> bool {
        self.pid(daemon).is_some_and(|pid| kill(pid, signal).is_ok())
    }

    /// Sends a signal to a daemon, if it runs.
    pub fn signal(&self, daemon: &str, signal: Signal) {
        let _ = self.try_signal(daemon, signal);
    }

    /// The process of a daemon.
    #[must_use]
    pub fn pid(&self, daemon: &str) -> Option<Pid> {
        let file = self.state.join("run").join(format!("{daemon}.pid"));
        std::fs::read_to_string(file).ok()?.trim().parse().ok().map(Pid::from_raw)
    }

    /// The process of the private database.
    #[must_use]
    pub fn postgres(&self) -> Option<Pid> {
        let file = std::fs::read_to_string(self.state.join("postgres/data/postmaster.pid")).ok()?;
        file.lines().next()?.trim().parse().ok().map(Pid::from_raw)
    }

    /// The owner's key.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn owner_key(&self) -> String {
        std::fs::read_to_string(self.state.join("owner.key")).unwrap().trim().to_owned()
    }

    /// A request through the edge.
    ///
    /// # Errors
    /// What went wrong, as text.
    pub async fn visit(&self, host: &str, path: &str) -> Result<Answer, String> {
        Ask::get(host, path).send(self.edge).await
    }

    /// Fails unless everything that must hold holds, once what is under way is over.
    ///
    /// # Panics
    /// Where a rule stays broken.
    pub async fn assert_consistent(&self) {
        let key = self.owner_key();
        let host = self.api.to_string();
        eventually("the installation is consistent", Duration::from_secs(20), || async {
            let ask = Ask { key: Some(&key), ..Ask::get(&host, "/api/v1/system/consistency") };
            let answer = ask.send(self.api).await?;
            if answer.status.is_success() && answer.json()["consistent"] == true {
                return Ok(());
            }
            Err(answer.text())
        })
        .await;
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
        eventually("the second edge has its table", Duration::from_secs(20), || async {
            let ready = Ask::get("edge", "/readyz").send(admin).await?;
            if ready.status.is_success() { Ok(()) } else { Err(ready.text()) }
        })
        .await;
        edge
    }

    /// Waits until a page through the edge satisfies a test, and returns it.
    pub async fn page_with(&self, host: &str, part: &str, limit: Duration) -> Answer {
        eventually(&format!("{host} shows {part:?}"), limit, || async {
            let answer = self.visit(host, "/").await?;
            if answer.text().contains(part) {
                Ok(answer)
            } else {
                Err(format!("{} {}", answer.status, answer.text()))
            }
        })
        .await
    }

    /// The ends of all logs, for a failed story.
    #[must_use]
    pub fn logs(&self) -> String {
        const LINES: usize = 25;
        let mut text = String::new();
        let Ok(entries) = std::fs::read_dir(self.state.join("log")) else { return text };
        let own = self.state.with_extension("up.log");
        for path in entries.flatten().map(|entry| entry.path()).chain([own]) {
            let log = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(LINES)..].join("\n");
            text.push_str(&format!("--- {}\n{end}\n", path.display()));
        }
        text
    }

    /// What `up.json` says.
    ///
    /// # Panics
    /// Where it cannot be read.
    #[must_use]
    pub fn announced(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.state.join("up.json")).unwrap()).unwrap()
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

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = std::io::stderr().write_all(self.logs().as_bytes());
        }
        self.stop();
    }
}

fn launch(environment: &[(String, String)], state: &Path) -> Child {
    std::fs::create_dir_all(state).unwrap();
    let log = std::fs::File::create(state.with_extension("up.log")).unwrap();
    let mut command = Command::new(program("zeitwork"));
    command.arg("up").envs(environment.iter().cloned()).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().expect("`zeitwork` is built: `make test` builds the whole workspace")
}

/// A program of this workspace, beside the tests' own.
///
/// # Panics
/// Where this test does not know where it is.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let directory = own.parent().unwrap();
    // Cargo puts tests one level below programs.
    let programs =
        if directory.ends_with("deps") { directory.parent().unwrap() } else { directory };
    programs.join(name)
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Ports that were free a moment ago, all different.
fn free_ports<const N: usize>() -> [SocketAddr; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}
