//! Git by argument lists, untouched by the configuration of whoever runs it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// Git could not be run, or said no.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program did not start, or its pipes broke.
    #[error("git did not run")]
    Run(#[from] std::io::Error),
    /// It ended with a code other than 0.
    #[error("git {command} said: {said}")]
    Refused {
        /// The subcommand.
        command: String,
        /// Its standard error.
        said: String,
    },
}

/// The environment of every git that we start: nothing of the caller's but the path.
pub(crate) fn clean(command: &mut Command) -> &mut Command {
    command.env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C.UTF-8")
}

/// Where git keeps its inner programs.
pub(crate) async fn exec_path() -> Result<PathBuf, GitError> {
    run(Path::new("/"), &["--exec-path"]).await.map(PathBuf::from)
}

/// Runs `git <arguments>` in the directory; standard output without its last line end.
pub(crate) async fn run(directory: &Path, arguments: &[&str]) -> Result<String, GitError> {
    run_with(directory, arguments, &[]).await
}

/// As [`run`], with more environment.
pub(crate) async fn run_with(
    directory: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<String, GitError> {
    let mut command = Command::new("git");
    clean(&mut command)
        .envs(environment.iter().copied())
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await?;
    if !output.status.success() {
        return Err(GitError::Refused {
            command: arguments.first().copied().unwrap_or_default().to_owned(),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.truncate(text.trim_end_matches('\n').len());
    Ok(text)
}
