//! Docker Engine for tests: the one that answers, else one that ends with the test process. An
//! engine that a test may freeze, kill or fill is its own: [`own`].

pub mod own;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::OnceCell;

use crate::busybox;

/// Where the engine listens.
pub const SOCKET: &str = "/var/run/docker.sock";
const PID_FILE: &str = "/var/run/docker.pid";
/// Longest start, and longest end of one that goes.
const LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(50);

static READY: OnceCell<Result<(), String>> = OnceCell::const_new();

/// Makes sure that an engine answers and has the image `busybox:latest`.
///
/// # Errors
/// What is missing, and which script installs it.
pub async fn ensure() -> Result<(), String> {
    READY.get_or_init(prepare).await.clone()
}

async fn prepare() -> Result<(), String> {
    let deadline = Instant::now() + LIMIT;
    let mut started = false;
    while is_leaving() || !answers(Path::new(SOCKET)).await {
        if Instant::now() > deadline {
            return Err(format!("no Docker Engine answers on {SOCKET} within {LIMIT:?}"));
        }
        if !started && !is_leaving() {
            start()?;
            started = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
    busybox::ensure(Path::new(SOCKET)).await.map(drop).map_err(|error| error.to_string())
}

async fn answers(socket: &Path) -> bool {
    let ping = async {
        let mut stream = UnixStream::connect(socket).await.ok()?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n").await.ok()?;
        let mut answer = [0u8; 12];
        stream.read_exact(&mut answer).await.ok()?;
        answer.ends_with(b" 200").then_some(())
    };
    matches!(tokio::time::timeout(Duration::from_secs(2), ping).await, Ok(Some(())))
}

/// Says whose the engine is that tests have started: the test process, then the engine.
fn record() -> PathBuf {
    std::env::temp_dir().join("zeitwork-tests-engine")
}

/// Whether the engine is that of a test process that has ended: it was told to end, too, and must
/// not be relied on although it may still answer.
fn is_leaving() -> bool {
    let text = fs::read_to_string(record()).unwrap_or_default();
    let mut pids = text.split_whitespace();
    let (Some(owner), Some(engine)) = (pids.next(), pids.next()) else { return false };
    !Path::new("/proc").join(owner).exists() && is_engine(engine)
}

fn is_engine(pid: &str) -> bool {
    let name = fs::read_to_string(Path::new("/proc").join(pid).join("comm")).unwrap_or_default();
    name.trim() == "dockerd"
}

fn start() -> Result<(), String> {
    // dockerd refuses to start while the pid of its file belongs to any process at all.
    if !fs::read_to_string(PID_FILE).is_ok_and(|pid| is_engine(pid.trim())) {
        let _ = fs::remove_file(PID_FILE);
    }
    let engine = spawn(Vec::new(), Stdio::null())?;
    fs::write(record(), format!("{} {engine}\n", std::process::id())).map_err(|e| e.to_string())
}

/// Starts an engine; its process. It ends with the thread that started it: that one lives as long
/// as this process.
fn spawn(arguments: Vec<String>, log: Stdio) -> Result<u32, String> {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let spawned = Command::new("setpriv")
            .args(["--pdeathsig=TERM", "--", "dockerd"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let told = spawned.as_ref().map(std::process::Child::id).map_err(ToString::to_string);
        let _ = sender.send(told);
        if let Ok(mut engine) = spawned {
            let _ = engine.wait();
        }
    });
    let told = receiver.recv().map_err(|error| error.to_string())?;
    told.map_err(|error| format!("dockerd: {error} (deploy/setup installs it)"))
}
