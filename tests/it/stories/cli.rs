//! What a person does from a terminal, with the real `zeitwork`.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use zeitwork_stand_ins::github::Repository;
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, eventually, up};

use super::app;

/// Somebody at a terminal on the host of a platform.
pub struct Terminal<'a> {
    pub cluster: &'a Cluster,
}

/// What a command printed.
#[derive(Debug)]
pub struct Ran {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

impl Terminal<'_> {
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(up::program("zeitwork"));
        command.env_clear().args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("ZEITWORK_STATE_DIR", &self.cluster.state);
        command.env("ZEITWORK_API_ADDRESS", self.cluster.api.to_string());
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "").await
    }

    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        // A command that reads nothing may be gone already.
        let _ = process.stdin.take().unwrap().write_all(input.as_bytes()).await;
        let ended = tokio::time::timeout(LIVE_LIMIT, process.wait_with_output()).await;
        let ended = ended.unwrap_or_else(|_| panic!("{arguments:?} does not end")).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { ok: ended.status.success(), out: text(ended.stdout), err: text(ended.stderr) }
    }

    pub async fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments).await;
        assert!(ran.ok, "{arguments:?}: {ran:?}\n{}", self.cluster.logs());
        ran
    }

    pub async fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.done(&[arguments, &["--output", "json"]].concat()).await;
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }
}

/// A project of any git server, with its host and its first commit, live.
pub async fn deployed(terminal: &Terminal<'_>, name: &str) -> (Repository, String, String) {
    let (full_name, github) = (format!("acme/{name}"), &terminal.cluster.github);
    let repository = github.public_repository(&full_name).await.unwrap();
    let commit = repository.commit_directory(&app("web"), "Open").await.unwrap();
    terminal.cluster.push(&repository).await;
    let url = format!("{}/{full_name}.git", github.url());
    let made = terminal.json(&["projects", "create", name, "--url", &url]).await;
    let address = made["environments"][0]["address"].as_str().unwrap();
    let host = address.trim_start_matches("http://").split(':').next().unwrap().to_owned();
    terminal.done(&["deploy", "--commit", &commit, "--follow"]).await;
    terminal.cluster.page_with(&host, &format!("commit={commit}"), LIVE_LIMIT).await;
    (repository, host, commit)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_follows_a_deploy_and_rolls_it_back_from_a_terminal() {
    let cluster = Cluster::start().await;
    let terminal = Terminal { cluster: &cluster };
    let (repository, host, first) = deployed(&terminal, "shop").await;
    let status = terminal.done(&["status"]).await;
    assert!(status.out.contains("is ready") && status.out.contains(&first[..10]), "{status:?}");
    assert_eq!(terminal.json(&["status"]).await["ready"], true);

    let second = repository.commit(&[("version", "2\n")], "Sell").await.unwrap();
    cluster.push(&repository).await;
    let deploy = terminal.done(&["deploy", "--commit", &second, "--follow"]).await;
    assert!(deploy.out.contains("live") && deploy.out.contains(&second[..10]), "{deploy:?}");
    let phases = ["building", "checking out", "image sha256:", "starting", "live"];
    let said = phases.map(|phase| deploy.err.find(phase));
    assert!(said.iter().all(Option::is_some) && said.is_sorted(), "{said:?} in {deploy:?}");
    cluster.page_with(&host, &format!("commit={second}"), LIVE_LIMIT).await;

    let back = terminal.json(&["rollback", "--follow"]).await;
    assert_eq!((&back["status"], &back["commit"]), (&"live".into(), &first.as_str().into()));
    cluster.page_with(&host, &format!("commit={first}"), LIVE_LIMIT).await;
    let listed = terminal.json(&["deployments", "list", "--status", "live"]).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    let shown = terminal.done(&["deployments", "show", back["id"].as_str().unwrap()]).await;
    assert!(shown.out.contains(&first), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_fails_says_why_and_ends_as_a_failure() {
    let cluster = Cluster::start().await;
    let terminal = Terminal { cluster: &cluster };
    let (repository, _, _) = deployed(&terminal, "bad").await;
    let broken = repository.commit_directory(&app("failing-build"), "Break").await.unwrap();
    cluster.push(&repository).await;
    let deploy = terminal.run(&["deploy", "--commit", &broken, "--follow"]).await;
    assert!(!deploy.ok && deploy.err.contains("exit code"), "{deploy:?}");

    let unknown = terminal.run(&["deployments", "show", "dep_nothing"]).await;
    assert!(!unknown.ok && unknown.err.contains("there is no"), "{unknown:?}");
    let refused = terminal.run(&["env", "set", "9LIVES=1"]).await;
    assert!(!refused.ok && refused.err.contains("request "), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sets_variables_scales_pauses_and_reads_logs_from_a_terminal() {
    let cluster = Cluster::start().await;
    let terminal = Terminal { cluster: &cluster };
    let (_, host, _) = deployed(&terminal, "knobs").await;
    terminal.done(&["env", "set", "GREETING=hello", "--deploy"]).await;
    cluster.page_with(&host, "greeting=hello", LIVE_LIMIT).await;
    let secret = terminal.run_with(&["env", "set", "TOKEN", "--secret"], "s3cret\n").await;
    assert!(secret.ok, "{secret:?}");
    let listed = terminal.done(&["env", "list"]).await;
    assert!(listed.out.contains("hello") && listed.out.contains("(secret)"), "{listed:?}");
    assert!(!listed.out.contains("s3cret"), "{listed:?}");
    terminal.done(&["env", "unset", "TOKEN"]).await;

    assert_eq!(terminal.json(&["scale", "2"]).await["replicas"], 2);
    assert_eq!(terminal.json(&["pause"]).await["paused"], true);
    assert_eq!(terminal.json(&["resume"]).await["paused"], false);
    eventually("the first line in the log", LIVE_LIMIT, || async {
        let logs = terminal.run(&["logs"]).await;
        if logs.out.contains("listening on port") { Ok(()) } else { Err(format!("{logs:?}")) }
    })
    .await;
    let mut follow = terminal.command(&["logs", "--follow", "--output", "json"]);
    let mut follow = follow.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(LIVE_LIMIT, lines.next_line()).await.unwrap().unwrap();
    let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
    assert!(line["text"].is_string() && line["instance"].is_string(), "{line}");
    terminal.done(&["redeploy", "--follow"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_owners_key_is_replaced_and_keys_are_made_and_revoked() {
    let mut cluster = Cluster::start().await;
    let terminal = Terminal { cluster: &cluster };
    let old = cluster.owner_key();
    let reset = terminal.done(&["owner", "reset"]).await;
    let new = cluster.owner_key();
    assert!(new != old && !format!("{reset:?}").contains(&new), "{reset:?}");
    let refused = terminal.command(&["projects"]).env("ZEITWORK_API_KEY", &old).output().await;
    assert!(!refused.unwrap().status.success());
    terminal.done(&["projects"]).await;

    let made = terminal.json(&["keys", "create", "ci", "--scope", "read"]).await;
    let key = made["key"].as_str().unwrap();
    let with_key = |arguments: &[&str]| {
        let mut command = terminal.command(arguments);
        command.env("ZEITWORK_API_KEY", key);
        command
    };
    assert!(with_key(&["projects"]).output().await.unwrap().status.success());
    assert!(!with_key(&["nodes"]).output().await.unwrap().status.success());
    terminal.done(&["keys", "revoke", made["id"].as_str().unwrap()]).await;
    assert!(!with_key(&["projects"]).output().await.unwrap().status.success());

    let nodes = terminal.json(&["nodes", "list"]).await;
    let node = nodes["items"][0]["name"].as_str().unwrap();
    assert_eq!(terminal.json(&["nodes", "cordon", node]).await["status"], "cordoned");
    assert_eq!(terminal.json(&["nodes", "uncordon", node]).await["status"], "ready");
    let doctor = terminal.run(&["doctor"]).await;
    assert!(doctor.out.contains("held by the running platform"), "{doctor:?}");
    cluster.restart().await;
    assert_eq!(cluster.owner_key(), new);
    Terminal { cluster: &cluster }.done(&["projects"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_goes_back_further_cancels_drains_and_deletes_from_a_terminal() {
    let cluster = Cluster::start().await;
    let terminal = Terminal { cluster: &cluster };
    let (repository, host, first) = deployed(&terminal, "verbs").await;
    let oldest = terminal.json(&["deployments", "list", "--status", "live"]).await;
    let oldest = oldest["items"][0]["id"].as_str().unwrap().to_owned();
    for version in ["2\n", "3\n"] {
        let commit = repository.commit(&[("version", version)], "Sell").await.unwrap();
        cluster.push(&repository).await;
        terminal.done(&["deploy", "--commit", &commit, "--follow"]).await;
    }
    let back = terminal.json(&["rollback", "--to", &oldest, "--follow"]).await;
    assert_eq!((&back["status"], &back["commit"]), (&"live".into(), &first.as_str().into()));
    cluster.page_with(&host, &format!("commit={first}"), LIVE_LIMIT).await;

    let dockerfile = "FROM busybox\nRUN sleep 1000\nCMD [\"true\"]\n";
    let slow = repository.commit(&[("Dockerfile", dockerfile)], "Sleep").await.unwrap();
    cluster.push(&repository).await;
    let begun = terminal.json(&["deploy", "--commit", &slow]).await;
    let begun = begun["id"].as_str().unwrap();
    terminal.done(&["deployments", "cancel", begun]).await;
    let shown = terminal.json(&["deployments", "show", begun]).await;
    assert_eq!(shown["status"], "cancelled", "{shown}");
    let late = terminal.run(&["deployments", "cancel", begun]).await;
    assert!(!late.ok && late.err.contains("request "), "{late:?}");

    // The only node: what serves stays until another could, and uncordon ends the wish.
    let nodes = terminal.json(&["nodes"]).await;
    let node = nodes["items"][0]["name"].as_str().unwrap();
    assert_eq!(terminal.json(&["nodes", "drain", node]).await["status"], "draining");
    cluster.page_with(&host, &format!("commit={first}"), LIVE_LIMIT).await;
    assert_eq!(terminal.json(&["nodes", "uncordon", node]).await["status"], "ready");

    let unsure = terminal.run(&["projects", "delete", "verbs"]).await;
    assert!(!unsure.ok, "{unsure:?}");
    terminal.done(&["projects", "delete", "verbs", "--yes"]).await;
    assert_eq!(terminal.json(&["projects"]).await["items"].as_array().unwrap().len(), 0);
    eventually("nothing serves any more", LIVE_LIMIT, || async {
        let answer = cluster.visit(&host, "/").await?;
        if answer.status == 404 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn up_refuses_an_unknown_setting_once_and_before_anything_starts() {
    let state = tempfile::tempdir().unwrap();
    let mut command = Command::new(up::program("zeitwork"));
    command.env_clear().arg("up").env("ZEITWORK_STATE_DIR", state.path());
    let refused = command.env("ZEITWORK_NONSENSE", "1").output().await.unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success());
    assert_eq!(said.matches("ZEITWORK_NONSENSE").count(), 1, "{said}");
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0, "nothing was made");
}
