//! `zeitwork up` as a process, with a state directory and ports of its own.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use zeitwork_stand_ins::engine;

use crate::eventually;
use crate::http::{Answer, Ask};
use crate::sql::Session;

/// Longest start of a whole platform beside other tests; it gives up by itself before that.
const START_LIMIT: Duration = Duration::from_mins(5);
/// Longest stop.
const STOP_LIMIT: Duration = Duration::from_mins(2);
/// Mode of a directory that everybody may enter.
pub const PUBLIC: u32 = 0o755;
/// Mode of a directory that nobody else may enter.
pub const PRIVATE: u32 = 0o700;

/// A platform of one host; dropping it stops it as Ctrl-C does.
pub struct Up {
    /// The state directory.
    pub state: PathBuf,
    /// Where the API answers.
    pub api: SocketAddr,
    /// Where the edge answers.
    pub edge: SocketAddr,
    /// Where the api, the operator, the agent and the edge show their metrics.
    pub addresses: [SocketAddr; 4],
    process: Option<Child>,
    environment: Vec<(String, String)>,
    _directory: tempfile::TempDir,
}

impl Up {
    /// Makes a state directory below one of this mode and chooses ports. Nothing runs yet but the
    /// engine.
    ///
    /// # Panics
    /// Where there is no engine.
    pub async fn prepare(mode: u32) -> Self {
        engine::ensure().await.expect("an engine");
        let directory = tempfile::Builder::new().prefix("zw-").tempdir().unwrap();
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(directory.path(), permissions).unwrap();
        let state = directory.path().join("s");
        let [api, operator, node, admin, edge] = free_ports();
        let environment = Vec::new();
        let addresses = [api, operator, node, admin];
        let process = None;
        let mut up =
            Self { state, api, edge, addresses, process, environment, _directory: directory };
        up.set("ZEITWORK_STATE_DIR", &up.state.display().to_string());
        up.set("ZEITWORK_NETWORK_POOL", &network_pool());
        for (name, address) in [
            ("ZEITWORK_API_ADDRESS", api),
            ("ZEITWORK_OPERATOR_ADDRESS", operator),
            ("ZEITWORK_NODE_ADDRESS", node),
            ("ZEITWORK_EDGE_ADMIN_ADDRESS", admin),
            ("ZEITWORK_EDGE_HTTP_ADDRESS", edge),
        ] {
            up.set(name, &address.to_string());
        }
        up
    }

    /// A setting for the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The settings of the next start.
    #[must_use]
    pub fn settings(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }

    /// Starts `zeitwork up` and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not become ready; its logs are shown.
    pub async fn start(&mut self, arguments: &[&str]) {
        self.start_under(&[], arguments).await;
    }

    /// The same, with a program before it that runs it.
    ///
    /// # Panics
    /// As [`Up::start`].
    pub async fn start_under(&mut self, before: &[&str], arguments: &[&str]) {
        let _ = std::fs::remove_file(self.state.join("up.json"));
        std::fs::create_dir_all(&self.state).unwrap();
        let log = std::fs::File::create(self.printed_file()).unwrap();
        let line = before.iter().map(PathBuf::from).chain([program("zeitwork")]);
        let mut line = line.collect::<Vec<PathBuf>>().into_iter();
        let mut command = Command::new(line.next().unwrap());
        command.args(line).arg("up").args(arguments).envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let built = "`zeitwork` is built: `make test` builds the whole workspace";
        let process = self.process.insert(command.spawn().expect(built));
        let deadline = Instant::now() + START_LIMIT;
        let announced = self.state.join("up.json");
        let mut ended = None;
        while ended.is_none() && !announced.exists() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(25)).await;
            ended = process.try_wait().unwrap();
        }
        assert!(announced.exists(), "not ready (ended: {ended:?})\n{}", self.logs());
    }

    /// Stops the platform as Ctrl-C does.
    ///
    /// # Panics
    /// Where it does not stop in time.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        if !interrupt(&mut process) {
            let _ = process.kill();
            panic!("`zeitwork up` did not stop\n{}", self.logs());
        }
    }

    /// Kills the supervisor, every daemon and the database at once.
    pub fn kill_everything(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
        }
        for daemon in ["api", "operator", "edge-proxy", "node-agent"] {
            self.signal(daemon, Signal::SIGKILL);
        }
        if let Some(pid) = self.postgres() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        if let Some(mut process) = self.process.take() {
            let _ = process.wait();
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

    /// The owner's terminal on the private database.
    ///
    /// # Panics
    /// Where the database does not run.
    #[must_use]
    pub fn sql(&self) -> Session {
        Session::open(&self.state.join("postgres/data"))
    }

    /// The installation's id, which stands in every name and label of ours.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn installation(&self) -> String {
        std::fs::read_to_string(self.state.join("installation")).unwrap().trim().to_owned()
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

    /// Waits until the page that the edge shows contains a text, and returns it.
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
        let own = self.printed_file();
        for path in entries.flatten().map(|entry| entry.path()).chain([own]) {
            let log = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(LINES)..].join("\n");
            text.push_str(&format!("--- {}\n{end}\n", path.display()));
        }
        text
    }

    /// What the running or last `zeitwork up` has printed.
    #[must_use]
    pub fn printed(&self) -> String {
        std::fs::read_to_string(self.printed_file()).unwrap_or_default()
    }

    fn printed_file(&self) -> PathBuf {
        self.state.with_extension("up.log")
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

impl Drop for Up {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return self.stop();
        }
        // A second panic would end the whole run.
        let _ = std::io::stderr().write_all(self.logs().as_bytes());
        let Some(mut process) = self.process.take() else { return };
        if !interrupt(&mut process) {
            let _ = process.kill();
        }
    }
}

/// Interrupts `zeitwork up` and waits for its end; false where it does not end in time.
fn interrupt(process: &mut Child) -> bool {
    let pid = Pid::from_raw(i32::try_from(process.id()).unwrap_or(i32::MAX));
    let _ = kill(pid, Signal::SIGINT);
    let deadline = Instant::now() + STOP_LIMIT;
    while matches!(process.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
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

/// Ports of the loopback address that nobody else is given: not by this program, and not by the
/// kernel for outgoing connections, so that one stays free while its owner is away.
///
/// # Panics
/// Where the system has none.
#[must_use]
pub fn free_ports<const N: usize>() -> [SocketAddr; N] {
    static TURN: AtomicU32 = AtomicU32::new(0);
    // Below `net.ipv4.ip_local_port_range`, above what services like.
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    [(); N].map(|()| {
        let ports = (0..COUNT).map(|_| {
            let turn = TURN.fetch_add(1, Ordering::Relaxed);
            // Another run of tests on this host begins elsewhere.
            let start = std::process::id().wrapping_mul(499);
            u16::try_from(FIRST + start.wrapping_add(turn) % COUNT).unwrap()
        });
        let mut addresses = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        addresses.find(|address| TcpListener::bind(address).is_ok()).expect("a free port")
    })
}

/// A network that instances of no other platform of this program get addresses of: while one is
/// stopped, nobody takes its part.
fn network_pool() -> String {
    static TURN: AtomicU32 = AtomicU32::new(0);
    // /20 parts of 10.128.0.0/10; another run of tests on this host begins elsewhere.
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let part = std::process::id().wrapping_mul(37).wrapping_add(turn) % 1_024;
    format!("10.{}.{}.0/20", 128 + part / 16, part % 16 * 16)
}
