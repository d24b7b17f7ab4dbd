//! A node that is cordoned, frozen, killed, and lost, and one that has lost an image.

use hyper::Method;
use serde_json::json;
use zeitwork_stand_ins::github::Fault;
use zeitwork_tests::process::Frozen;

use super::{World, serving, sleeping};

pub(super) async fn all(world: &mut World<'_>) {
    world.tell("without room", without_room).await;
    world.tell("without token", without_token).await;
    world.tell("frozen", frozen).await;
    world.tell("without image", without_image).await;
}

/// A cordoned node takes nothing: what rests there makes room, what is pushed waits.
async fn without_room(world: &mut World<'_>) {
    let nodes = world.owner.get("/nodes").await;
    let node = format!("/nodes/{}", nodes["items"][0]["id"].as_str().unwrap());
    world.post(&format!("{node}/cordon"), &json!({})).await;
    world.post(&world.production("/scale"), &json!({"replicas": 2})).await;
    world.past("rollouts.make_room").await;
    let commit = world.push(&[("version", "6\n")], "Sixth").await;
    world.past("builds.explain").await;
    world.post(&format!("{node}/uncordon"), &json!({})).await;
    world.serves(&commit).await;
    world.commits.push(commit);
    world.post(&world.production("/scale"), &json!({"replicas": 1})).await;
}

/// GitHub goes away between the claim of a build and the target of its node.
async fn without_token(world: &mut World<'_>) {
    world.points.arm(["builds.claim.after"], "again");
    let commit = world.push(&[("version", "7\n")], "Seventh").await;
    world.past("builds.claim").await;
    // The next operator knows no token yet.
    world.cluster.github.fail_next(std::iter::repeat_n(Fault::Status(502), 20));
    world.past("nodes.hand_back").await;
    world.cluster.github.mend();
    world.serves(&commit).await;
    world.commits.push(commit);
}

/// Its build goes back into the queue, and what was deleted meanwhile is given up. Of a node that
/// is silent for 20 s and a lease of 15 s the end is written here.
async fn frozen(world: &mut World<'_>) {
    let gone = world.path("/environments/gone");
    world.post(&world.path("/environments"), &json!({"name": "gone", "branch": "none"})).await;
    let served = world.commits.last().unwrap().clone();
    let wish = json!({"environment": "gone", "commit": served});
    world.post(&world.path("/deployments"), &wish).await;
    let live = "select count(*) from deployments where status = 'live'";
    world.until_row(live, "2").await;
    let commit = world.push(&[("Dockerfile", &sleeping("frozen"))], "Sleep").await;
    world.build_is(&world.project.id, &commit, "running").await;

    let agent = Frozen::new(vec![world.cluster.pid("node-agent").unwrap()]);
    for silence in [
        "update node_reports set reported_at = now() - interval '1 minute' returning 1",
        "update nodes set status = 'lost' returning 1",
        "update builds set lease_until = now() where status = 'running' returning 1",
    ] {
        assert_eq!(world.database.lock().await.run(silence).await, "1", "{silence}");
    }
    world.build_is(&world.project.id, &commit, "queued").await;
    world.owner.call(Method::DELETE, &gone, None).await.unwrap();
    let given_up = "select count(*) from instances where reason_code = 'node_lost' \
        and environment_id = (select id from environments where name = 'gone')";
    world.until_row(given_up, "1").await;
    drop(agent);
    world.until_row("select status from nodes", "ready").await;
    let commit = world.push(&[("Dockerfile", &serving())], "Eighth").await;
    world.serves(&commit).await;
    world.commits.push(commit);
}

/// What shall run again has its image nowhere; what runs of it goes on.
async fn without_image(world: &mut World<'_>) {
    let bare = world.path("/environments/bare");
    world.post(&world.path("/environments"), &json!({"name": "bare", "branch": "none"})).await;
    let served = world.commits.last().unwrap().clone();
    let wish = json!({"environment": "bare", "commit": served});
    world.post(&world.path("/deployments"), &wish).await;
    let ours = "environment_id = (select id from environments where name = 'bare')";
    let live = format!("select count(*) from deployments where status = 'live' and {ours}");
    world.until_row(&live, "1").await;
    world.post(&format!("{bare}/scale"), &json!({"replicas": 0})).await;
    let open = format!(
        "select count(*) from instances where status not in ('stopped', 'failed') and {ours}"
    );
    world.until_row(&open, "0").await;
    // Later than any listing of the node's that says otherwise.
    let mark = |at: &str| {
        format!(
            "with marked as (update image_locations set gone_at = {at} returning 1) \
             select 'marked' from marked limit 1"
        )
    };
    let lose = mark("now() + interval '1 hour'");
    assert_eq!(world.database.lock().await.run(&lose).await, "marked");
    world.post(&format!("{bare}/scale"), &json!({"replicas": 1})).await;
    world.past("images.build_again").await;
    world.until_row(&format!("{live} and rebuild_of is not null"), "1").await;
    assert_eq!(world.database.lock().await.run(&mark("null")).await, "marked");
    world.owner.call(Method::DELETE, &bare, None).await.unwrap();
}
