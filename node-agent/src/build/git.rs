//! Runs the git program with nothing of the host in it: an environment of our own, an
//! unprivileged user, no hooks, no helpers, no prompts, no protocol but HTTP, no shell.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

/// Bytes of what git says on standard error that are kept.
const MAXIMUM_SAID: usize = 8 * 1024;

/// Settings of every call. `protocol.allow=never` keeps `ext::`, `file://`, `ssh://` and what
/// may come; HTTPS is allowed by name, and followed nowhere else.
const SETTINGS: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.askPass", ""),
    ("credential.helper", ""),
    ("protocol.allow", "never"),
    ("protocol.https.allow", "always"),
    ("http.followRedirects", "false"),
    // Less than 1,000 bytes a second for half a minute is a dead server.
    ("http.lowSpeedLimit", "1000"),
    ("http.lowSpeedTime", "30"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    // One pack instead of many files, however small the fetch.
    ("fetch.unpackLimit", "1"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("advice.detachedHead", "false"),
    ("init.defaultBranch", "main"),
];

/// Names of the agent's environment that git's TLS may need.
const INHERITED: &[&str] = &["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"];

/// The user that git runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GitUser {
    /// Its numeric id.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// Why a call of git came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// It could not be started.
    #[error("git could not be started")]
    Start(#[source] io::Error),
    /// It ended with an error; what it said.
    #[error("git {verb}: {said}")]
    Said {
        /// `fetch`, …
        verb: String,
        /// The end of its standard error.
        said: String,
    },
    /// Its output could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How git is called for one checkout.
#[derive(Debug)]
pub struct Git {
    /// The program.
    pub program: PathBuf,
    /// Who it runs as; none: as we do.
    pub user: Option<GitUser>,
    /// An empty directory of its own.
    pub home: PathBuf,
    /// The working tree.
    pub directory: PathBuf,
    /// More settings: address, protocol, authorization. They travel in the environment, which
    /// other users cannot read, never as arguments, never in a file.
    pub settings: Vec<(String, String)>,
}

/// Kills a whole process group when dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Already gone is as good.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Git {
    /// Runs git to its end. Dropping the future kills it with all its children.
    ///
    /// # Errors
    /// [`GitError`]
    pub async fn run(&self, arguments: &[&str]) -> Result<String, GitError> {
        let mut text = String::new();
        self.lines(arguments, b'\n', |line| {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
            text.len() < 1024 * 1024
        })
        .await?;
        Ok(text)
    }

    /// Runs git and hands over what it writes, part by part; a caller that has enough answers
    /// false, which kills git and counts as its end.
    ///
    /// # Errors
    /// [`GitError`]
    pub async fn lines(
        &self,
        arguments: &[&str],
        end: u8,
        mut line: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), GitError> {
        let mut child = self.command(arguments).spawn().map_err(GitError::Start)?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let _group = Group(id.map(Pid::from_raw));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let read = async {
            let Some(stdout) = stdout else { return Ok(true) };
            let mut stdout = BufReader::new(stdout);
            let mut part = Vec::new();
            loop {
                part.clear();
                // Git's parts are paths and short lines; 64 KiB are far more than any.
                let read = (&mut stdout).take(64 * 1024).read_until(end, &mut part).await?;
                if read == 0 {
                    return Ok::<bool, io::Error>(true);
                }
                if !line(part.strip_suffix(&[end]).unwrap_or(&part)) {
                    return Ok(false);
                }
            }
        };
        let said = async {
            match stderr {
                Some(stderr) => tail(stderr).await,
                None => String::new(),
            }
        };
        tokio::pin!(said);
        let (whole, said) = {
            tokio::pin!(read);
            let mut early = None;
            let whole = loop {
                tokio::select! {
                    whole = &mut read => break whole?,
                    said = &mut said, if early.is_none() => early = Some(said),
                }
            };
            match early {
                Some(said) => (whole, said),
                None if whole => (whole, said.await),
                None => (whole, String::new()),
            }
        };
        if !whole {
            return Ok(());
        }
        Self::end(&mut child, arguments, said).await
    }

    async fn end(child: &mut Child, arguments: &[&str], said: String) -> Result<(), GitError> {
        let status = child.wait().await?;
        if status.success() {
            return Ok(());
        }
        let verb = arguments.first().copied().unwrap_or_default().to_owned();
        let said = if said.is_empty() { status.to_string() } else { said };
        Err(GitError::Said { verb, said })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = std::process::Command::new(&self.program);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        if let Some(user) = self.user {
            std::os::unix::process::CommandExt::uid(&mut command, user.uid);
            std::os::unix::process::CommandExt::gid(&mut command, user.gid);
        }
        command.env_clear();
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", &self.home)
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_LFS_SKIP_SMUDGE", "1");
        let own = self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut count = 0;
        for (key, value) in SETTINGS.iter().copied().chain(own) {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        command.args(arguments).current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut command = Command::from(command);
        command.kill_on_drop(true);
        command
    }
}

/// The end of what is read, as text.
async fn tail(mut from: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..read]);
        let surplus = kept.len().saturating_sub(MAXIMUM_SAID);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

/// Gives a path to the user that git runs as.
///
/// # Errors
/// Of the file system.
pub fn give(path: &Path, user: Option<GitUser>) -> io::Result<()> {
    user.map_or(Ok(()), |user| std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid)))
}
