//! What instances say is stored once, whenever the agent is killed.

use hyper::Method;
use nix::sys::signal::Signal;
use zeitwork_tests::user::{LIVE_LIMIT, Project, User};
use zeitwork_tests::{Cluster, eventually};

use crate::stories::app;

/// A project that deploys an application of `tests/apps`, live.
pub(super) async fn deployed(cluster: &Cluster, owner: &User<'_>, name: &str) -> Project {
    let repository = cluster.github.repository(&format!("acme/{name}")).await.unwrap();
    let project = owner.create_project(name, &format!("acme/{name}")).await;
    let commit = repository.commit_directory(&app(name), name).await.unwrap();
    repository.push().await.unwrap();
    owner.live(&project, &commit).await;
    project
}

/// The numbers that the teller has told and that are stored, in the order of the log.
async fn numbers(owner: &User<'_>, project: &Project) -> Vec<u64> {
    let path = format!("/projects/{}/environments/production/logs?limit=1000", project.id);
    let (mut numbers, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = owner.get(&format!("{path}{cursor}")).await;
        let lines = page["items"].as_array().unwrap().iter();
        numbers.extend(lines.map(|line| line["text"].as_str().unwrap().parse().unwrap_or(0)));
        let Some(next) = page["next_cursor"].as_str() else { return numbers };
        cursor = format!("&cursor={next}");
    }
}

/// Waits until so many numbers are told; the last one.
pub(super) async fn until_told(owner: &User<'_>, project: &Project, number: u64) -> u64 {
    let tail = format!("/projects/{}/environments/production/logs?tail=1", project.id);
    eventually(&format!("{number} is told"), LIVE_LIMIT, || async {
        let page = owner.call(Method::GET, &tail, None).await?.json();
        let last = page["items"][0]["text"].as_str().and_then(|text| text.parse().ok());
        let last: u64 = last.ok_or_else(|| page.to_string())?;
        if last >= number { Ok(last) } else { Err(last.to_string()) }
    })
    .await
}

/// Every number was stored once, in order, and no other line.
pub(super) async fn was_told_once(owner: &User<'_>, project: &Project) {
    let told = numbers(owner, project).await;
    let wrong = (1..).zip(&told).find(|(number, told)| number != *told);
    assert_eq!(wrong, None, "{} lines", told.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_storm_is_stored_once_though_the_agent_is_killed() {
    let cluster = Cluster::start().await;
    let owner = cluster.owner();
    let project = deployed(&cluster, &owner, "teller").await;
    let mut told = until_told(&owner, &project, 1).await;
    for round in 0..3 {
        // At different moments of a chunk.
        told = until_told(&owner, &project, told + 200 + 70 * round).await;
        let killed = cluster.pid("node-agent").unwrap();
        cluster.signal("node-agent", Signal::SIGKILL);
        eventually("the agent runs again", LIVE_LIMIT, || async {
            let now = cluster.pid("node-agent").filter(|pid| *pid != killed);
            now.map(drop).ok_or_else(|| format!("{killed}"))
        })
        .await;
    }
    until_told(&owner, &project, told + 1_000).await;
    was_told_once(&owner, &project).await;
}
