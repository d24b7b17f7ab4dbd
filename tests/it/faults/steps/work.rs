//! Pushes, rollbacks, scaling, failures, cancels and deletions.

use hyper::Method;
use serde_json::json;

use super::{World, serving, sleeping};
use crate::stories::app;

pub(super) async fn all(world: &mut World<'_>) {
    world.tell("push and back", push_and_back).await;
    world.tell("scale", scale).await;
    world.tell("fail", fail).await;
    world.tell("unreadable", unreadable).await;
    world.tell("join and cancel", join_and_cancel).await;
    world.tell("delete while it builds", delete_while_it_builds).await;
    world.tell("pass deadlines", pass_deadlines).await;
}

async fn push_and_back(world: &mut World<'_>) {
    let second = world.push(&[("version", "2\n")], "Second").await;
    world.serves(&second).await;
    world.commits.push(second);
    // What serves still needs no revival.
    world.until_row("select count(*) from instances where goal = 'pause'", "1").await;
    let first = world.commits[0].clone();
    world.post(&world.production("/rollback"), &json!({})).await;
    world.serves(&first).await;
    // A new deployment of what was built before.
    let second = world.commits[1].clone();
    let again = json!({"environment": "production", "commit": second});
    world.post(&world.path("/deployments"), &again).await;
    world.serves(&second).await;
}

async fn scale(world: &mut World<'_>) {
    for replicas in [2, 1] {
        world.post(&world.production("/scale"), &json!({"replicas": replicas})).await;
        let path = format!("/instances?project={}&status=healthy", world.project.id);
        world
            .until(&format!("{replicas} instances"), async || {
                let page = world.owner.call(Method::GET, &path, None).await?.json();
                let count = page["items"].as_array().map_or(0, Vec::len);
                if count == replicas { Ok(()) } else { Err(page.to_string()) }
            })
            .await;
    }
}

/// A build that fails, and an instance that does.
async fn fail(world: &mut World<'_>) {
    for name in ["failing-build", "crash"] {
        let commit = world.repository.commit_directory(&app(name), name).await.unwrap();
        world.repository.push().await.unwrap();
        let ended = world.settled(&commit).await;
        assert_eq!(ended["status"], "failed", "{ended}");
    }
    world.repository.commit_directory(&app("web"), "Mend").await.unwrap();
    let commit = world.push(&[("version", "3\n")], "Third").await;
    world.serves(&commit).await;
    world.commits.push(commit);
}

/// Variables that nobody can open, for the build and for the instance.
async fn unreadable(world: &mut World<'_>) {
    let path = world.path("/variables/LOST");
    let lose = "update variables set ciphertext = '' where name = 'LOST' returning 1";
    for at in ["build", "run"] {
        world
            .owner
            .send(Method::PUT, &path, &json!({"value": "found", "at": at, "secret": false}))
            .await;
        assert_eq!(world.database.lock().await.run(lose).await, "1");
        let commit = world.push(&[("lost", at)], at).await;
        let ended = world.settled(&commit).await;
        let reason = ended["reason"]["text"].as_str().unwrap_or_default();
        assert!(reason.contains("cannot be opened"), "{ended}");
    }
    world.owner.call(Method::DELETE, &path, None).await.unwrap();
    let commit = world.push(&[("lost", "found")], "Found").await;
    world.serves(&commit).await;
    world.commits.push(commit);
}

/// Two environments wait for one build; it is cancelled.
async fn join_and_cancel(world: &mut World<'_>) {
    world.post(&world.path("/environments"), &json!({"name": "twin", "branch": "main"})).await;
    let commit = world.push(&[("Dockerfile", &sleeping("join"))], "Sleep").await;
    let build = world.build_is(&world.project.id, &commit, "running").await;
    let waiting = format!(
        "select count(*) from deployments where commit_sha = '{commit}' and build_id is not null"
    );
    world.until_row(&waiting, "2").await;
    world.post(&format!("/builds/{build}/cancel"), &json!({})).await;
    let ended = world.settled(&commit).await;
    assert_eq!(ended["status"], "cancelled", "{ended}");
    world.owner.call(Method::DELETE, &world.path("/environments/twin"), None).await.unwrap();
    let commit = world.push(&[("Dockerfile", &serving())], "Fourth").await;
    world.serves(&commit).await;
    world.commits.push(commit);
}

async fn delete_while_it_builds(world: &mut World<'_>) {
    let repository = world.cluster.github.repository("acme/doomed").await.unwrap();
    let project = world.owner.create_project("doomed", "acme/doomed").await;
    repository.commit_directory(&app("web"), "Open").await.unwrap();
    let commit = repository.commit(&[("Dockerfile", &sleeping("doomed"))], "Sleep").await.unwrap();
    repository.push().await.unwrap();
    world.build_is(&project.id, &commit, "running").await;
    let path = format!("/projects/{}", project.id);
    world.owner.call(Method::DELETE, &path, None).await.unwrap();
    let status = format!("select status from builds where commit_sha = '{commit}'");
    world.until_row(&status, "superseded").await;
}

/// What waits for ever is ended by its deadline: of the build, and of the deployment.
async fn pass_deadlines(world: &mut World<'_>) {
    for late in [
        "update builds set deadline_at = now() where status = 'running' returning 1",
        "update deployments set deadline_at = now() where status = 'building' returning 1",
    ] {
        let name = &late[..14];
        let commit = world.push(&[("Dockerfile", &sleeping(name))], name).await;
        world.build_is(&world.project.id, &commit, "running").await;
        assert_eq!(world.database.lock().await.run(late).await, "1");
        let ended = world.settled(&commit).await;
        assert_eq!(ended["reason"]["code"], "timeout", "{ended}");
    }
    let commit = world.push(&[("Dockerfile", &serving())], "Fifth").await;
    world.serves(&commit).await;
    world.commits.push(commit);
    // What is done each ten seconds.
    world.past("retention.webhook_deliveries").await;
    world.past("journal.put").await;
}
