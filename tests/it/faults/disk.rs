//! Starting again: after Ctrl-C, and after everything was killed at once.

use nix::sys::signal::Signal;
use zeitwork_tests::process::{self, Frozen, Part};
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, eventually};

use crate::stories::live_project;

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_the_next_start_serves_the_same_application() {
    let mut cluster = Cluster::start().await;
    let (_, project, _, commit) = live_project(&cluster, "acme/again").await;
    cluster.restart().await;
    cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_power_cut_the_next_start_serves_the_same_application() {
    let mut cluster = Cluster::start().await;
    let (_, project, _, commit) = live_project(&cluster, "acme/power").await;
    cluster.power_cut().await;
    cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_get_other_addresses_where_the_next_start_has_another_network() {
    let mut cluster = Cluster::start_with(&[("ZEITWORK_NETWORK_POOL", "10.208.0.0/24")]).await;
    let (owner, project, repository, commit) = live_project(&cluster, "acme/moved").await;
    let next = repository.commit(&[("version", "2\n")], "Moved").await.unwrap();
    cluster.push(&repository).await;
    owner.live(&project, &next).await;
    assert_ne!(next, commit);
    let page = cluster.page_with(&project.host, "instance=", LIVE_LIMIT).await.text();
    let instance = page.lines().find_map(|line| line.strip_prefix("instance=")).unwrap();
    cluster.set("ZEITWORK_NETWORK_POOL", "10.208.1.0/24");
    cluster.restart().await;
    cluster.page_with(&project.host, &format!("commit={next}"), LIVE_LIMIT).await;
    cluster.assert_consistent().await;
    let moved = "select count(*) from endpoints e join instances i on i.id = e.instance_id
        where i.status = 'healthy' and e.address << '10.208.1.0/24'";
    assert_eq!(cluster.sql().run(&moved.replace('\n', " ")).await, "1");
    // It was given up at once: nobody waited until it had been unhealthy for long enough.
    let before = cluster.owner().get(&format!("/instances/{instance}")).await;
    let ended = [&before["status"], &before["reason"]["code"]];
    assert_eq!(ended, ["failed", "address_lost"], "{before}");
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_and_agent_start_from_disk_while_everything_else_is_stopped() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, commit) = live_project(&cluster, "acme/alone").await;
    let page = cluster.page_with(&project.host, "instance=", LIVE_LIMIT).await.text();
    let instance = page.lines().find_map(|line| line.strip_prefix("instance=")).unwrap();
    eventually("the edge has kept its route", LIVE_LIMIT, || async {
        let kept = std::fs::read_to_string(cluster.state.join("edge/edge/routes.journal"));
        let kept = kept.map_err(|error| error.to_string())?;
        if kept.contains(instance) { Ok(()) } else { Err(kept) }
    })
    .await;
    let others = ["api", "operator"].map(|daemon| cluster.pid(daemon).unwrap());
    let database = cluster.postgres().unwrap();
    let frozen = [Frozen::new(others.to_vec()), Frozen::server(database)];

    cluster.signal("edge-proxy", Signal::SIGKILL);
    cluster.signal("node-agent", Signal::SIGKILL);
    cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
    // The agent has what it needs to start the instance again, variables included.
    let instance = format!("ZEITWORK_INSTANCE={instance}\0");
    let first = process::with(Part::Environment, &instance);
    assert!(!first.is_empty(), "the instance runs");
    process::signal(&first, Signal::SIGKILL);
    eventually("the instance runs again", LIVE_LIMIT, || async {
        let now = process::with(Part::Environment, &instance);
        let again = !now.is_empty() && now.iter().all(|pid| !first.contains(pid));
        if again { Ok(()) } else { Err(format!("{first:?}, {now:?}")) }
    })
    .await;
    cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;

    drop(frozen);
    let next = repository.commit(&[("version", "2\n")], "Together").await.unwrap();
    cluster.push(&repository).await;
    cluster.page_with(&project.host, &format!("commit={next}"), LIVE_LIMIT).await;
    owner.live(&project, &next).await;
}
