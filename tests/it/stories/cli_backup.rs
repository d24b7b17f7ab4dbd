//! A backup brings everything back.

use zeitwork_tests::Cluster;
use zeitwork_tests::user::LIVE_LIMIT;

use super::cli::{Terminal, deployed};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_while_it_runs_brings_everything_back_on_an_empty_state_directory() {
    let mut cluster = Cluster::start().await;
    let terminal = Terminal { cluster: &cluster };
    let (_, host, commit) = deployed(&terminal, "kept").await;
    let secret =
        terminal.run_with(&["env", "set", "GREETING", "--secret", "--deploy"], "sealed\n").await;
    assert!(secret.ok, "{secret:?}");
    cluster.page_with(&host, "greeting=sealed", LIVE_LIMIT).await;
    let owner = cluster.owner_key();
    let directory = tempfile::tempdir().unwrap();
    let backup = directory.path().join("first");
    let backup = backup.to_str().unwrap();
    terminal.done(&["backup", "create", backup]).await;
    let verified = terminal.json(&["backup", "verify", backup]).await;
    assert_eq!(verified["projects"], 1, "{verified}");
    let twice = terminal.run(&["backup", "create", backup]).await;
    assert!(!twice.ok && twice.err.contains("exists"), "{twice:?}");
    let used = terminal.run(&["backup", "restore", backup]).await;
    assert!(!used.ok && used.err.contains("holds a platform already"), "{used:?}");

    cluster.stop();
    std::fs::remove_dir_all(&cluster.state).unwrap();
    let restored = Terminal { cluster: &cluster }.json(&["backup", "restore", backup]).await;
    assert!(restored["epoch"].as_i64().unwrap() > 1, "{restored}");
    cluster.restart().await;
    cluster.page_with(&host, &format!("commit={commit}"), LIVE_LIMIT).await;
    cluster.page_with(&host, "greeting=sealed", LIVE_LIMIT).await;
    assert_eq!(cluster.owner_key(), owner);
    let terminal = Terminal { cluster: &cluster };
    terminal.done(&["redeploy", "--follow"]).await;
    cluster.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_changed_is_refused() {
    let cluster = Cluster::start().await;
    let terminal = Terminal { cluster: &cluster };
    let directory = tempfile::tempdir().unwrap();
    let backup = directory.path().join("changed");
    terminal.done(&["backup", "create", backup.to_str().unwrap()]).await;
    let dump = backup.join("database.dump");
    let mut bytes = std::fs::read(&dump).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&dump, bytes).unwrap();
    for verb in ["verify", "restore"] {
        let refused = terminal
            .command(&["backup", verb, backup.to_str().unwrap()])
            .env("ZEITWORK_STATE_DIR", directory.path().join("new"))
            .output()
            .await
            .unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && said.contains("not as it was written"), "{said}");
    }
    assert!(!directory.path().join("new").exists(), "nothing was restored");
}
