//! One supervised daemon: started in a process group of its own, restarted with back-off.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::group::{Stop, told};
use super::home::{Account, Home};
use super::logs;
use super::patience::{Patience, STABLE, Said};

/// What to run, as whom, and with which settings.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Name of the program's log and pid file.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Whom it runs as.
    pub account: Account,
    /// Whether it may bind ports below 1024 although it is unprivileged.
    pub low_ports: bool,
    /// Its whole environment: nothing is inherited.
    pub environment: Vec<(String, String)>,
    /// Longest time that it may take to stop.
    pub stop_limit: Duration,
}

impl Daemon {
    /// Keeps it running until told to stop; then stops it and returns.
    pub async fn supervise(self, home: Home, mut stop: Stop) {
        let mut patience = Patience::default();
        while !*stop.borrow() {
            let started = Instant::now();
            let how = match self.start(&home) {
                Ok(mut child) => match self.watch(&mut child, &mut patience, &mut stop).await {
                    Some(how) => how,
                    None => break,
                },
                Err(error) => format!("{error:#}"),
            };
            let (said, pause) = patience.ended(started.elapsed());
            self.say(&home, said, &how);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = told(&mut stop) => {}
            }
        }
        let _ = std::fs::remove_file(self.pid_file(&home));
    }

    /// How it ended; none where it was stopped because we were told to.
    async fn watch(
        &self,
        child: &mut Child,
        patience: &mut Patience,
        stop: &mut Stop,
    ) -> Option<String> {
        loop {
            tokio::select! {
                ended = child.wait() => {
                    return Some(ended.map_or_else(|e| e.to_string(), |s| s.to_string()));
                }
                () = told(stop) => {
                    self.end(child).await;
                    return None;
                }
                () = tokio::time::sleep(STABLE), if patience.is_tried() => {
                    if patience.is_stable() {
                        tracing::info!(daemon = %self.name, "a daemon that kept ending runs again");
                    }
                }
            }
        }
    }

    /// Each end is said until it is clear that there will be many; then that is said, once.
    fn say(&self, home: &Home, said: Said, how: &str) {
        let daemon = self.name.as_str();
        let last_words = logs::last_words(home, daemon);
        let log = home.state.join("log").join(format!("{daemon}.log"));
        let log = log.display();
        match said {
            Said::Ended => {
                tracing::warn!(daemon, %how, last_words, %log, "a daemon ended; it is started again");
            }
            Said::KeepsEnding => {
                tracing::error!(daemon, %how, last_words, %log, "a daemon keeps ending; it is tried again every few seconds, which is not said any more");
            }
            Said::Nothing => {}
        }
    }

    fn start(&self, home: &Home) -> Result<Child> {
        let mut command = match self.account {
            Account::Own => Command::new(&self.program),
            Account::Unprivileged(user) => {
                // setpriv is of util-linux, which is essential on Debian.
                let mut command = Command::new("setpriv");
                let kept = if self.low_ports { ",+net_bind_service" } else { "" };
                command.args([format!("--reuid={user}"), format!("--regid={user}")]);
                command.args(["--clear-groups", "--no-new-privs"]);
                for set in ["--bounding-set", "--inh-caps", "--ambient-caps"] {
                    command.arg(format!("{set}=-all{kept}"));
                }
                command.arg("--");
                command.arg(&self.program);
                command
            }
        };
        command.args(&self.arguments).current_dir("/");
        command.env_clear().envs(self.environment.iter().cloned());
        command.stdin(Stdio::null());
        command.stdout(home.log(&self.name)?).stderr(home.log(&self.name)?);
        // Ctrl-C at a terminal reaches `zeitwork up` alone; it stops the others in order.
        command.process_group(0);
        let child = command.spawn().with_context(|| self.program.display().to_string())?;
        let noted = std::fs::write(self.pid_file(home), format!("{}\n", child.id().unwrap_or(0)));
        if let Err(error) = noted {
            // It runs and serves; what it costs is that a later start would not know it.
            tracing::warn!(daemon = %self.name, %error, "the pid file cannot be written");
        }
        Ok(child)
    }

    async fn end(&self, child: &mut Child) {
        signal(child, Signal::SIGTERM);
        if tokio::time::timeout(self.stop_limit, child.wait()).await.is_err() {
            tracing::warn!(daemon = %self.name, "a daemon did not stop in time; it is killed");
            let _ = child.kill().await;
        }
    }

    fn pid_file(&self, home: &Home) -> PathBuf {
        home.state.join("run").join(format!("{}.pid", self.name))
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Ends daemons that a killed `zeitwork up` left behind; instances go on running.
pub async fn end_leftovers(home: &Home) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(10);
    for entry in std::fs::read_dir(home.state.join("run"))?.flatten() {
        let path = entry.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name == "engine" || path.extension().is_none_or(|extension| extension != "pid") {
            continue;
        }
        let pid = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
        if let Some(pid) = pid.filter(|pid| is_ours(*pid, home) || is_dying(*pid)) {
            tracing::info!(daemon = name, pid, "ending a daemon that an earlier start left behind");
            let pid = Pid::from_raw(pid);
            let _ = kill(pid, Signal::SIGTERM);
            let deadline = Instant::now() + LIMIT;
            while has_files(pid) {
                if Instant::now() > deadline {
                    let _ = kill(pid, Signal::SIGKILL);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let _ = std::fs::remove_file(&path);
    }
    Ok(())
}

/// Whether the process is a daemon of this installation: pids are used again, also by daemons of
/// another installation on the same host.
fn is_ours(pid: i32, home: &Home) -> bool {
    let read = |part: &str| std::fs::read(format!("/proc/{pid}/{part}")).unwrap_or_default();
    let (command, environment) = (read("cmdline"), read("environ"));
    let program = command.split(|byte| *byte == 0).next().unwrap_or_default();
    let is_daemon = String::from_utf8_lossy(program)
        .rsplit('/')
        .next()
        .is_some_and(|name| name.starts_with("zeitwork-"));
    let places = [&home.root, &home.state].map(|place| place.as_os_str().as_encoded_bytes());
    let values = environment.split(|byte| *byte == 0).filter_map(|variable| {
        let at = variable.iter().position(|byte| *byte == b'=')?;
        variable.get(at + 1..)
    });
    is_daemon && values.into_iter().any(|value| places.iter().any(|it| is_within(value, it)))
}

/// Whether a path is a directory or something in it.
fn is_within(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Whether the kernel is taking the process apart: it has no memory any more, so nobody can say
/// whose it was, but perhaps still its ports.
fn is_dying(pid: i32) -> bool {
    const KERNEL_THREAD: u64 = 0x0020_0000;
    let stat = procfs::process::Process::new(pid).and_then(|process| process.stat());
    stat.is_ok_and(|stat| stat.vsize == 0 && u64::from(stat.flags) & KERNEL_THREAD == 0)
}

/// Whether the process may hold files and ports. One that has ended and that nobody waited for
/// does not: in a container without an init it stays in the list for ever. As long as one of its
/// threads is not gone, it does.
fn has_files(pid: Pid) -> bool {
    let Ok(process) = procfs::process::Process::new(pid.as_raw()) else { return false };
    let threads = process.tasks().map_or(0, Iterator::count);
    process.stat().is_ok_and(|stat| threads > 1 || !matches!(stat.state, 'Z' | 'X'))
}
