//! The engine's disk is nearly full: an engine of the test's own, on a small file system.

use zeitwork_stand_ins::engine::own::OwnEngine;
use zeitwork_tests::engine;
use zeitwork_tests::eventually;
use zeitwork_tests::failpoints::Failpoints;
use zeitwork_tests::load::Load;
use zeitwork_tests::user::LIVE_LIMIT;

use super::agent_steps::{ON_A_FULL_DISK, past, places};
use super::engine::cluster_on;
use crate::stories::live_project;

/// What a build needs, in megabytes, and what the test leaves.
const FLOOR: u64 = 150;
const LEFT: u64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_build_waits_for_room_with_its_reason_while_visitors_are_served() {
    let own = OwnEngine::start_small(400 << 20).await.unwrap();
    let cluster = cluster_on(&own, &[("ZEITWORK_BUILD_DISK_FLOOR_MB", &FLOOR.to_string())]).await;
    let (owner, project, repository, _) = live_project(&cluster, "acme/full").await;
    let load = Load::start(&[cluster.edge], &project.host, 2);
    // The agent dies while it makes room.
    engine::image(&own.socket(), &cluster.installation()).await;
    let points = Failpoints::of_agent(&cluster);
    points.arm(places(&points, |step| ON_A_FULL_DISK.contains(&step)), "again");

    let filler = own.data().join("filler");
    let disk = nix::sys::statvfs::statvfs(&own.data()).unwrap();
    let free = disk.blocks_available() * disk.fragment_size();
    let file = std::fs::File::create(&filler).unwrap();
    let length = (free - LEFT * 1_000_000).try_into().unwrap();
    nix::fcntl::fallocate(&file, nix::fcntl::FallocateFlags::empty(), 0, length).unwrap();
    drop(file);
    eventually("the node says that its disk is nearly full", LIVE_LIMIT, || async {
        let nodes = owner.get("/nodes").await;
        let text = nodes["items"][0]["problems"].to_string();
        let told = text.contains("disk_low") && text.contains("builds need 150 MB");
        if told { Ok(()) } else { Err(nodes.to_string()) }
    })
    .await;
    let commit = repository.commit(&[("version", "2\n")], "Room").await.unwrap();
    cluster.push(&repository).await;
    let path = format!("/projects/{}/deployments", project.id);
    eventually("the deployment says what it waits for", LIVE_LIMIT, || async {
        let page = owner.get(&path).await;
        let ours = page["items"].as_array().unwrap().iter().find(|d| d["commit"] == commit);
        let text = ours.map(ToString::to_string).unwrap_or_default();
        if text.contains("MB free; builds need 150 MB") { Ok(()) } else { Err(page.to_string()) }
    })
    .await;

    past(&points, "the agent dies while it makes room", |_| true).await;
    std::fs::remove_file(&filler).unwrap();
    cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
    owner.live(&project, &commit).await;
    let seen = load.finish().await;
    assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    cluster.assert_consistent().await;
}
