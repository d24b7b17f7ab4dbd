//! Disks that are nearly full.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use tokio::sync::watch;
use zeitwork_model::reason::Reason;
use zeitwork_node_agent::build::bases::Pulled;
use zeitwork_node_agent::build::engine::Engine;
use zeitwork_node_agent::instances::Snapshot;
use zeitwork_node_agent::space::{DISK_LOW, Space};
use zeitwork_protocol::report::InstancePhase;
use zeitwork_runtime::lifecycle::Lifecycle;
use zeitwork_stand_ins::engine::own::OwnEngine;

use crate::build::world::{World, ask, import};
use crate::support::{Node, SERVER, get, with_node};

/// A file system of so many bytes on a directory; dropped, it is gone.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn on(path: &'a Path, bytes: u64) -> Self {
        let size = format!("size={bytes}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path);
        assert!(mount.status().unwrap().success());
        Self(path)
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

fn has_problem(seen: &Snapshot, code: &str) -> bool {
    seen.problems.iter().any(|problem| problem.code == code)
}

/// An image of the node's own; the engine's id.
async fn image(node: &Node, which: &str) -> String {
    let installation = &node.engine.owner().installation;
    let name = format!("zeitwork-test/{which}:{installation}");
    import(&name, &[&format!("LABEL dev.zeitwork.installation={installation} which={which}")]);
    let docker = node.engine.docker().unwrap();
    docker.inspect_image(&name).await.unwrap().id.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_unlisted_images_go_and_listed_ones_stay() {
    with_node(async |node| {
        let (old, rollback) = (image(node, "old").await, image(node, "rollback").await);
        // As an attempt at a build leaves it that was killed at its end.
        let installation = &node.engine.owner().installation;
        let tagged = format!("/images/{old}/tag?repo=zeitwork-test/again&tag={installation}");
        ask("POST", &tagged);
        let instance = node.instance(1, SERVER).await;
        node.want_keeping(1, vec![instance.clone()], vec![rollback.clone()]);
        node.until_phase(instance.id, InstancePhase::Healthy).await;
        let lists = |seen: &Snapshot, image: &str| seen.images.iter().any(|i| i.image == image);
        node.until("both images", |seen| lists(seen, &old) && lists(seen, &rollback)).await;
        node.space.send_replace(Some(Reason::new(DISK_LOW, "little is left")));
        node.until("it is told", |seen| has_problem(seen, DISK_LOW)).await;
        let seen = node.until("the unlisted image is gone", |seen| !lists(seen, &old)).await;
        assert!(lists(&seen, &rollback), "{:?}", seen.images);
        assert!(get(instance.address).is_some(), "what runs is not touched");
        ask("DELETE", &format!("/images/{rollback}?force=1"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_full_state_directory_the_agent_goes_on_and_says_so() {
    with_node(async |node| {
        node.kill().await;
        let path = node.directory.path().to_owned();
        let small = Small::on(&path, 256 * 1024);
        node.start();
        let instance = node.instance(1, SERVER).await;
        // The last page goes, too.
        let filler = path.join("filler");
        while let Err(_) | Ok(1..) = std::fs::write(&filler, vec![0; 512 * 1024]).map(|()| 0) {
            if std::fs::metadata(&filler).is_ok_and(|filler| filler.len() > 0) {
                break;
            }
        }
        node.want(1, vec![instance.clone()]);
        node.until_phase(instance.id, InstancePhase::Healthy).await;
        let seen = node.until("it is told", |seen| has_problem(seen, "state_unwritable")).await;
        let problem = seen.problems.iter().find(|p| p.code == "state_unwritable").unwrap();
        assert!(problem.text.contains("No space left"), "{}", problem.text);
        std::fs::remove_file(&filler).unwrap();
        node.until("room is enough", |seen| !has_problem(seen, "state_unwritable")).await;
        // What is remembered is on the disk now: a second agent finds it.
        node.kill().await;
        node.start();
        let report = node.until_phase(instance.id, InstancePhase::Healthy).await;
        assert_eq!(report.restarts, 0);
        node.kill().await;
        drop(small);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_floor_no_build_begins_and_the_cache_goes() {
    let engine = OwnEngine::start_small(512 << 20).await.unwrap();
    let mut world = World::start().await;
    world.parts.engine_socket = engine.socket();
    let cached = "FROM busybox\nRUN head -c 50000000 /dev/urandom > /large\nRUN rm /large\n";
    let target = world.push(&[("Dockerfile", cached)]).await;
    assert_eq!(world.build(&target).await.code(), "succeeded");

    // More than the engine's disk will ever have, less than that of this host.
    let mut parts = world.parts.clone();
    parts.disk_floor = 600 << 20;
    let ended = world.build_with(&target, &parts).await;
    assert_eq!(ended.code(), DISK_LOW, "{:?}", ended.outcome);
    assert!(ended.reason().contains(" MB free; builds need 629 MB"), "{}", ended.reason());
    assert!(!ended.says("RUN"), "{}", ended.text());

    let (told, mut seen) = watch::channel(None);
    let life = Lifecycle::new();
    let space = Space {
        engine: Engine::new(&engine.socket()),
        work_directory: world.parts.work_directory.clone(),
        floor: parts.disk_floor,
        pulled: Arc::new(Pulled::load(world.elsewhere().join("bases.json"))),
        told,
    };
    life.spawn("space", space.run(life.clone()));
    let limit = Duration::from_secs(30);
    let reason = tokio::time::timeout(limit, seen.wait_for(Option::is_some)).await;
    assert_eq!(reason.unwrap().unwrap().as_ref().unwrap().code, DISK_LOW);
    let docker = Docker::connect_with_host(&engine.host()).unwrap();
    let deadline = std::time::Instant::now() + limit;
    loop {
        let usage = docker.df(None).await.unwrap();
        let cache = serde_json::to_value(&usage).unwrap();
        let kept = cache["BuildCache"].as_array().map_or(0, Vec::len);
        if kept == 0 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{cache}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    life.stop();
}
