//! The program as `make up` starts it: files appear, a typed `git push` works, signals end it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Starts the program and waits until it says that it listens.
async fn start(state: &Path, copy: &Path) -> (Child, Value) {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/sample");
    let mut program = Command::new(env!("CARGO_BIN_EXE_zeitwork-stand-ins"))
        .arg("github")
        .args(["--webhook-url", "http://127.0.0.1:9/api/v1/webhooks/github"])
        .args([Path::new("--state"), state, Path::new("--sample"), &sample])
        .args([Path::new("--working-copy"), copy])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await;
    assert!(line.unwrap().unwrap().unwrap().starts_with("github "));
    let file = state.join("github.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    (program, serde_json::from_slice(&fs::read(&file).unwrap()).unwrap())
}

async fn git(copy: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(copy).args(arguments).env("GIT_TERMINAL_PROMPT", "0");
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

async fn end(mut program: Child, state: &Path) {
    let id = program.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let ended = tokio::time::timeout(Duration::from_secs(10), program.wait()).await;
    assert!(ended.unwrap().unwrap().success());
    assert!(!state.join("github.json").exists());
}

#[tokio::test]
async fn the_demonstration_is_pushed_as_typed_and_again_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (state, copy) = (directory.path().join("github"), directory.path().join("hello"));
    let (program, first) = start(&state, &copy).await;
    assert_eq!(first["sample"]["repository"], "acme/hello");
    assert_eq!(first["sample"]["commit"], git(&copy, &["rev-parse", "HEAD"]).await);
    assert!(Path::new(first["private_key_file"].as_str().unwrap()).exists());
    git(&copy, &["push", "--quiet"]).await;
    let url = git(&copy, &["remote", "get-url", "origin"]).await;
    assert!(!url.contains('@'), "no credential in {url}");
    end(program, &state).await;

    let (program, second) = start(&state, &copy).await;
    assert_eq!(second["app_id"], first["app_id"]);
    assert_eq!(second["sample"]["commit"], first["sample"]["commit"]);
    assert_ne!(second["webhook_secret"], first["webhook_secret"]);
    fs::write(copy.join("message"), "Hello again\n").unwrap();
    git(&copy, &["commit", "--quiet", "--all", "--message", "Say it again"]).await;
    git(&copy, &["push", "--quiet"]).await;
    let there = git(&copy, &["ls-remote", "origin", "refs/heads/main"]).await;
    assert!(there.starts_with(&git(&copy, &["rev-parse", "HEAD"]).await));
    end(program, &state).await;
}
