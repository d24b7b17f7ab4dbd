//! Docker Engine: the one that answers, else one that we start and stop ourselves.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::home::Home;

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const PING_LIMIT: Duration = Duration::from_secs(2);

/// The engine, and whether it is ours to stop.
#[derive(Debug)]
pub struct Engine {
    started: Option<Child>,
    /// Of one that an earlier `zeitwork up` started and could not stop.
    inherited: Option<Pid>,
    record: PathBuf,
}

/// The socket that `DOCKER_HOST` names, else the usual one.
pub fn socket() -> Result<PathBuf> {
    match std::env::var("DOCKER_HOST") {
        Err(_) => Ok(PathBuf::from(DEFAULT_SOCKET)),
        Ok(host) => match host.strip_prefix("unix://") {
            Some(path) => Ok(PathBuf::from(path)),
            None => bail!("DOCKER_HOST is {host:?}: only unix:// sockets are supported"),
        },
    }
}

/// Whether an engine answers on the socket.
pub async fn answers(socket: &Path) -> bool {
    let ping = async {
        let mut stream = UnixStream::connect(socket).await.ok()?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n").await.ok()?;
        let mut answer = [0u8; 12];
        stream.read_exact(&mut answer).await.ok()?;
        answer.ends_with(b" 200").then_some(())
    };
    matches!(tokio::time::timeout(PING_LIMIT, ping).await, Ok(Some(())))
}

/// Finds the engine or starts one.
pub async fn prepare(home: &Home) -> Result<Engine> {
    let socket = socket()?;
    let record = home.state.join("run/engine.pid");
    if answers(&socket).await {
        let inherited = recorded(&record);
        return Ok(Engine { started: None, inherited, record });
    }
    if socket != Path::new(DEFAULT_SOCKET) {
        bail!("no Docker Engine answers on {}: start it, or unset DOCKER_HOST", socket.display());
    }
    tracing::info!("no Docker Engine answers: starting dockerd");
    remove_stale_pid_file();
    let mut command = Command::new("dockerd");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(home.log("dockerd")?);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let child = command.spawn().context("dockerd (install the package `docker.io`)")?;
    std::fs::write(&record, format!("{}\n", child.id()))?;
    let mut engine = Engine { started: Some(child), inherited: None, record };
    engine.wait_until_it_answers(home, &socket).await?;
    Ok(engine)
}

impl Engine {
    async fn wait_until_it_answers(&mut self, home: &Home, socket: &Path) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while !answers(socket).await {
            let ended = match &mut self.started {
                Some(child) => child.try_wait()?,
                None => None,
            };
            if ended.is_some() || Instant::now() > deadline {
                let log = home.state.join("log/dockerd.log");
                bail!("dockerd does not answer; its log is {}", log.display());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Stops the engine if it is ours.
    pub async fn stop(mut self) {
        let pid = match (&self.started, self.inherited) {
            (Some(child), _) => i32::try_from(child.id()).ok().map(Pid::from_raw),
            (None, inherited) => inherited,
        };
        let Some(pid) = pid else { return };
        let _ = kill(pid, Signal::SIGTERM);
        let deadline = Instant::now() + STOP_LIMIT;
        loop {
            let gone = match &mut self.started {
                Some(child) => !matches!(child.try_wait(), Ok(None)),
                None => kill(pid, None).is_err(),
            };
            if gone || Instant::now() > deadline {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = std::fs::remove_file(&self.record);
    }
}

/// The process of our record, if it still is a dockerd.
fn recorded(record: &Path) -> Option<Pid> {
    let pid: i32 = std::fs::read_to_string(record).ok()?.trim().parse().ok()?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (name.trim() == "dockerd").then_some(Pid::from_raw(pid))
}

/// dockerd refuses to start while the pid in its file belongs to any process at all.
fn remove_stale_pid_file() {
    const PID_FILE: &str = "/var/run/docker.pid";
    if recorded(Path::new(PID_FILE)).is_none() {
        let _ = std::fs::remove_file(PID_FILE);
    }
}
