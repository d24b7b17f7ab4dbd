//! An engine of a test's own: own data, socket, bridge and processes, so that it can be frozen,
//! killed or filled while other tests go on. It changes no firewall rule of the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{LIMIT, PAUSE, answers, is_engine, spawn};
use crate::{busybox, random};

/// Longest end of an engine that was told to.
const END: Duration = Duration::from_secs(40);

/// A running engine with the image `busybox:latest`; dropped, nothing of it is left.
#[derive(Debug)]
pub struct OwnEngine {
    pid: u32,
    bridge: String,
    is_small: bool,
    directory: TempDir,
}

impl OwnEngine {
    /// Starts an engine.
    ///
    /// # Errors
    /// What is missing, or the end of the engine's log.
    pub async fn start() -> Result<Self, String> {
        Self::prepare(None).await
    }

    /// Starts an engine whose data is on a file system of so many bytes.
    ///
    /// # Errors
    /// As [`Self::start`]; mounting needs root.
    pub async fn start_small(bytes: u64) -> Result<Self, String> {
        Self::prepare(Some(bytes)).await
    }

    async fn prepare(bytes: Option<u64>) -> Result<Self, String> {
        let directory = tempfile::Builder::new()
            .prefix("zw-engine-")
            .tempdir()
            .map_err(|error| error.to_string())?;
        let random = u32::from_ne_bytes(random::bytes().map_err(|error| error.to_string())?);
        let bridge = format!("zwe{random:08x}");
        let mut engine = Self { pid: 0, bridge, is_small: bytes.is_some(), directory };
        for name in ["data", "exec"] {
            fs::create_dir(engine.directory.path().join(name)).map_err(|e| e.to_string())?;
        }
        if let Some(bytes) = bytes {
            let (options, data) = (format!("size={bytes}"), engine.data());
            run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", &data.to_string_lossy()])?;
        }
        let address = format!("10.215.{}.1/24", part());
        run("ip", &["link", "add", &engine.bridge, "type", "bridge"])?;
        run("ip", &["address", "add", &address, "dev", &engine.bridge])?;
        run("ip", &["link", "set", &engine.bridge, "up"])?;
        engine.begin().await?;
        busybox::ensure(&engine.socket()).await.map_err(|error| error.to_string())?;
        Ok(engine)
    }

    /// Starts the engine again after it was killed or ended, and waits until it answers.
    ///
    /// # Errors
    /// The end of its log.
    pub async fn begin(&mut self) -> Result<(), String> {
        let at = |name: &str| self.directory.path().join(name).display().to_string();
        // Both may name a process that has ended and that nobody has waited for yet.
        for name in ["pid", "exec/containerd/containerd.pid"] {
            let _ = fs::remove_file(at(name));
        }
        let log = fs::File::create(at("log")).map_err(|error| error.to_string())?;
        let arguments = [
            ("host", format!("unix://{}", at("socket"))),
            ("data-root", at("data")),
            ("exec-root", at("exec")),
            ("pidfile", at("pid")),
            ("bridge", self.bridge.clone()),
            ("containerd-namespace", self.bridge.clone()),
            ("containerd-plugins-namespace", format!("{}-plugins", self.bridge)),
            ("iptables", "false".to_owned()),
            ("ip-forward", "false".to_owned()),
            ("ip-masq", "false".to_owned()),
            ("userland-proxy", "false".to_owned()),
        ];
        let arguments = arguments.map(|(name, value)| format!("--{name}={value}")).to_vec();
        self.pid = spawn(arguments, log.into())?;
        let deadline = Instant::now() + LIMIT;
        while !answers(&self.socket()).await {
            if Instant::now() > deadline || !self.exists() {
                let log = fs::read_to_string(at("log")).unwrap_or_default();
                let end = log.len().saturating_sub(2_000);
                return Err(format!("dockerd: {}", &log[log.ceil_char_boundary(end)..]));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// The same, as `DOCKER_HOST` says it.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Where its data is.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn signal(&self, signal: &str) {
        let pid = self.pid.to_string();
        if is_engine(&pid) {
            let _ = run("kill", &["-s", signal, &pid]);
        }
    }

    /// Has it hang until the returned value is dropped.
    #[must_use]
    pub fn freeze(&self) -> Frozen<'_> {
        self.signal("STOP");
        Frozen(self)
    }

    /// Ends it as a service manager does, and waits until it has ended.
    pub fn end(&self) {
        self.signal("TERM");
        self.wait();
    }

    /// Kills it and waits until it is gone. Its containers outlive it, until it starts again.
    pub fn kill(&self) {
        self.signal("KILL");
        self.wait();
    }

    /// The process is there; its name is not the engine's yet in the first moments.
    fn exists(&self) -> bool {
        Path::new("/proc").join(self.pid.to_string()).exists()
    }

    fn wait(&self) {
        let deadline = Instant::now() + END;
        while self.exists() {
            if Instant::now() > deadline {
                self.signal("KILL");
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// An engine that hangs.
#[derive(Debug)]
pub struct Frozen<'a>(&'a OwnEngine);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.signal("CONT");
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        self.signal("CONT");
        self.end();
        let _ = run("ip", &["link", "delete", &self.bridge]);
        if self.is_small {
            let _ = run("umount", &["-l", &self.data().to_string_lossy()]);
        }
        for mount in mounts_below(self.directory.path()) {
            let _ = run("umount", &["-l", &mount]);
        }
    }
}

/// Mounts that an engine which was killed has left, the innermost first.
fn mounts_below(directory: &Path) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let below = points.filter(|point| Path::new(point).starts_with(directory));
    let mut below: Vec<String> = below.map(str::to_owned).collect();
    below.reverse();
    below
}

/// A number below 250 that no other engine of this process has; another process begins elsewhere.
fn part() -> u32 {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    std::process::id().wrapping_mul(37).wrapping_add(turn) % 250
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
