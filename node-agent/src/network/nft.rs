//! The program `nft`, always by an argument list and with a time limit.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::NetworkError;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Loads the text as one transaction.
///
/// # Errors
/// [`NetworkError::Nft`] with nft's own words; nothing was changed then.
pub async fn load(text: &str) -> Result<(), NetworkError> {
    let output = run(&["-f", "-"], text).await?;
    if output.status.success() { Ok(()) } else { Err(refused(&output)) }
}

/// The table as the kernel has it, without counters.
///
/// # Errors
/// [`NetworkError::Nft`] also where there is no such table.
pub async fn list(table: &str) -> Result<String, NetworkError> {
    let output = run(&["-s", "list", "table", "inet", table], "").await?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(refused(&output))
    }
}

/// Removes the table; one that is not there is no error.
///
/// # Errors
/// [`NetworkError::Nft`] with nft's own words.
pub async fn remove(table: &str) -> Result<(), NetworkError> {
    load(&format!("table inet {table}\ndelete table inet {table}\n")).await
}

async fn run(arguments: &[&str], input: &str) -> Result<Output, NetworkError> {
    let failed = |error: std::io::Error| NetworkError::Nft(error.to_string());
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let stdin = child.stdin.take();
    let work = async {
        if let Some(mut stdin) = stdin {
            stdin.write_all(input.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    match tokio::time::timeout(TIMEOUT, work).await {
        Ok(output) => output.map_err(failed),
        Err(_) => Err(NetworkError::Nft(format!("no answer within {TIMEOUT:?}"))),
    }
}

fn refused(output: &Output) -> NetworkError {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().next().unwrap_or("refused without a word");
    NetworkError::Nft(line.to_owned())
}
