//! Docker Engine: the one that answers, else one that we start and stop ourselves.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::group::{Stop, told};
use super::home::Home;
use super::logs;
use super::patience::{Patience, STABLE, Said};

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks whether ours runs.
const LOOK: Duration = Duration::from_millis(500);
const PING_LIMIT: Duration = Duration::from_secs(2);

/// The engine, and whether it is ours to stop.
#[derive(Debug)]
struct Engine {
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

/// Finds the engine or starts one, keeps ours running, and stops ours at the end unless its
/// instances shall go on. How the first start went is sent.
pub async fn keep(home: Home, first: oneshot::Sender<Result<()>>, mut stop: Stop, detach: bool) {
    let mut engine = match prepare(&home, &stop).await {
        Ok(engine) => {
            let _ = first.send(Ok(()));
            engine
        }
        Err(error) => return drop(first.send(Err(error))),
    };
    let (mut patience, mut started) = (Patience::default(), Instant::now());
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = told(&mut stop) => break,
        }
        if engine.is_alive() {
            if patience.is_tried() && started.elapsed() > STABLE && patience.is_stable() {
                tracing::info!("the container engine runs again");
            }
            continue;
        }
        let (said, pause) = patience.ended(started.elapsed());
        say(&home, said);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = told(&mut stop) => break,
        }
        started = Instant::now();
        match prepare(&home, &stop).await {
            Ok(again) => engine = again,
            Err(error) => tracing::debug!(error = format!("{error:#}"), "no engine"),
        }
    }
    if !detach {
        engine.stop().await;
    }
}

fn say(home: &Home, said: Said) {
    let last_words = logs::last_words(home, "dockerd");
    match said {
        Said::Ended => tracing::warn!(last_words, "dockerd ended; it is started again"),
        Said::KeepsEnding => {
            tracing::error!(
                last_words,
                "dockerd keeps ending; it is tried again every few seconds, which is not said any more"
            );
        }
        Said::Nothing => {}
    }
}

/// Finds the engine or starts one.
async fn prepare(home: &Home, stop: &Stop) -> Result<Engine> {
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
    match engine.wait_until_it_answers(home, &socket, stop).await {
        Ok(()) => Ok(engine),
        Err(error) => {
            engine.stop().await;
            Err(error)
        }
    }
}

impl Engine {
    /// Returns early where it shall stop again.
    async fn wait_until_it_answers(
        &mut self,
        home: &Home,
        socket: &Path,
        stop: &Stop,
    ) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while !*stop.borrow() && !answers(socket).await {
            let ended = match &mut self.started {
                Some(child) => child.try_wait()?,
                None => None,
            };
            if ended.is_some() || Instant::now() > deadline {
                let log = home.state.join("log/dockerd.log");
                let words = logs::last_words(home, "dockerd");
                bail!("dockerd does not answer ({words}); its log is {}", log.display());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Whether it runs; one that is not ours is others' business.
    fn is_alive(&mut self) -> bool {
        match (&mut self.started, self.inherited) {
            (Some(child), _) => matches!(child.try_wait(), Ok(None)),
            (None, Some(_)) => recorded(&self.record).is_some(),
            (None, None) => true,
        }
    }

    /// Stops the engine if it is ours.
    async fn stop(mut self) {
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
