//! One supervised daemon: started in a process group of its own, restarted with back-off.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::home::{Account, Home};

/// A daemon that has run so long starts again at once.
const STABLE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

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
    /// Its whole environment: nothing is inherited.
    pub environment: Vec<(String, String)>,
    /// Longest time that it may take to stop.
    pub stop_limit: Duration,
}

impl Daemon {
    /// Keeps it running until told to stop; then stops it and returns.
    pub async fn supervise(self, home: Home, mut stop: watch::Receiver<bool>) {
        let mut pause = FIRST_PAUSE;
        while !*stop.borrow() {
            let started = Instant::now();
            match self.start(&home) {
                Ok(mut child) => {
                    tokio::select! {
                        ended = child.wait() => {
                            let how = ended.map_or_else(|e| e.to_string(), |s| s.to_string());
                            let log = home.state.join("log").join(format!("{}.log", self.name));
                            tracing::warn!(daemon = %self.name, %how, log = %log.display(), "a daemon ended; it is started again");
                        }
                        () = told(&mut stop) => {
                            self.end(&mut child).await;
                            break;
                        }
                    }
                }
                Err(error) => {
                    tracing::error!(daemon = %self.name, error = format!("{error:#}"), "a daemon cannot be started");
                }
            }
            if started.elapsed() > STABLE {
                pause = FIRST_PAUSE;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = told(&mut stop) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        let _ = std::fs::remove_file(self.pid_file(&home));
    }

    fn start(&self, home: &Home) -> Result<Child> {
        let mut command = match self.account {
            Account::Own => Command::new(&self.program),
            Account::Unprivileged(user) => {
                // setpriv is of util-linux, which is essential on Debian.
                let mut command = Command::new("setpriv");
                command.args([
                    format!("--reuid={user}"),
                    format!("--regid={user}"),
                    "--clear-groups".to_owned(),
                    "--no-new-privs".to_owned(),
                    "--bounding-set=-all".to_owned(),
                    "--inh-caps=-all".to_owned(),
                    "--".to_owned(),
                ]);
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
        if let Some(pid) = child.id() {
            std::fs::write(self.pid_file(home), format!("{pid}\n"))?;
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

/// Returns once the daemons shall stop (or nobody is left to say so).
async fn told(stop: &mut watch::Receiver<bool>) {
    // The guard of the value must not live across an await.
    let _ = stop.wait_for(|stop| *stop).await.map(|_| ());
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
        if let Some(pid) = pid.filter(|pid| is_ours(*pid)) {
            tracing::info!(daemon = name, pid, "ending a daemon that an earlier start left behind");
            let pid = Pid::from_raw(pid);
            let _ = kill(pid, Signal::SIGTERM);
            let deadline = Instant::now() + LIMIT;
            while kill(pid, None).is_ok() {
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

/// Whether the process is one of our daemons: pids are used again.
fn is_ours(pid: i32) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let program = command.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(program)
        .rsplit('/')
        .next()
        .is_some_and(|name| name.starts_with("zeitwork-"))
}
