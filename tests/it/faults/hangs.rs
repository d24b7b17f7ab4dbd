//! A database that neither answers nor refuses.

use std::time::Duration;

use hyper::{Method, StatusCode};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use zeitwork_tests::{Cluster, eventually};

/// Every process of a server, stopped until this value is gone.
struct Frozen(Vec<Pid>);

impl Frozen {
    fn new(server: Pid) -> Self {
        // The first one makes the others: once it is stopped, there are no new ones.
        let mut all = Self(vec![server]);
        kill(server, Signal::SIGSTOP).unwrap();
        let children = children_of(server);
        for pid in &children {
            let _ = kill(*pid, Signal::SIGSTOP);
        }
        all.0.extend(children);
        all
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in self.0.iter().rev() {
            let _ = kill(*pid, Signal::SIGCONT);
        }
    }
}

fn children_of(parent: Pid) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        // `pid (name) state parent …`; a name may hold anything, so it is read from the right.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
        rest.split(' ').nth(1) == Some(&parent.to_string())
    })
    .map(Pid::from_raw)
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_hangs_the_api_says_within_five_seconds_when_to_come_back() {
    let cluster = Cluster::start().await;
    let owner = cluster.owner();
    owner.get("/projects").await;
    let frozen = Frozen::new(cluster.postgres().unwrap());
    let body = json!({"name": "Shop", "source": {"kind": "git", "url": "https://x.example/a"}});
    // Each call fails the test where it takes longer.
    let (read, written, seen) = tokio::join!(
        owner.call(Method::GET, "/projects", None),
        owner.call(Method::POST, "/projects", Some(&body)),
        owner.call(Method::GET, "/system/version", None),
    );
    for answer in [read, written, seen] {
        let answer = answer.unwrap();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
        assert_eq!(answer.json()["code"], "database_unavailable");
        assert!(answer.headers.contains_key("retry-after"), "{}", answer.text());
    }
    drop(frozen);
    eventually("the api answers again", Duration::from_secs(20), || async {
        let answer = owner.call(Method::GET, "/projects", None).await?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    cluster.assert_consistent().await;
}
