//! Repositories that are connected, renamed, suspended and refused; deliveries that are late,
//! lost, slow and refused; branches that nobody told of.

use std::time::Duration;

use hyper::Method;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use zeitwork_stand_ins::github::{Event, Fault};

use super::{LONGEST, World};
use crate::stories::app;

pub(super) async fn all(world: &mut World<'_>) {
    world.tell("refused", refused).await;
    world.tell("by hand", by_hand).await;
    world.tell("untold branch", untold_branch).await;
    world.tell("late", late).await;
    world.tell("renamed", renamed).await;
    world.tell("suspended", suspended).await;
}

/// A repository that the App is not installed for, and a delivery that nobody needs.
async fn refused(world: &mut World<'_>) {
    world.owner.create_project("nowhere", "nobody/nothing").await;
    world.past("sources.set_reason").await;
    world.cluster.github.deliver_new("star", json!({"action": "created"})).await.unwrap();
    world.past("webhooks.finish").await;
}

/// Deployments by reference: of a branch, of what is not there, and of a server that is away.
async fn by_hand(world: &mut World<'_>) {
    let wish = |reference: &str| json!({"environment": "production", "ref": reference});
    world.post(&world.path("/deployments"), &wish("nowhere")).await;
    world.past("sources.fail").await;
    let source = json!({"kind": "git", "url": "http://127.0.0.1:9/away.git"});
    let away = world.post("/projects", &json!({"name": "Away", "source": source})).await;
    let path = format!("/projects/{}", away["id"].as_str().unwrap());
    world.post(&format!("{path}/deployments"), &wish("main")).await;
    world.past("sources.explain").await;
    // A commit is known by itself; it is the builder that finds nobody there.
    let commit = json!({"environment": "production", "commit": "1".repeat(40)});
    world.post(&format!("{path}/deployments"), &commit).await;
    world.past("nodes.build_lost").await;
    world.owner.call(Method::DELETE, &path, None).await.unwrap();
    world.post(&world.path("/deployments"), &wish("main")).await;
    world.past("sources.resolve").await;
    let commit = world.commits.last().unwrap().clone();
    world.serves(&commit).await;
}

/// The first push of a branch that a pattern covers is lost.
async fn untold_branch(world: &mut World<'_>) {
    let body = json!({"name": "preview", "branch": "preview/*"});
    world.post(&world.path("/environments"), &body).await;
    world.past("heads.begin").await;
    let begun = "select count(*) from environments where seen_pattern = branch";
    world.until_row(begun, "1").await;
    world.cluster.github.hold_deliveries();
    world.repository.switch("preview/1").await.unwrap();
    let commit = world.push(&[("preview", "1\n")], "Preview").await;
    drop(world.cluster.github.lose_deliveries());
    // A new operator looks at once; one that runs looks every two minutes.
    world.cluster.signal("operator", Signal::SIGKILL);
    let ended = world.settled(&commit).await;
    assert_eq!(ended["status"], "live", "{ended}");
    world.past("heads.forget").await;
    let path = world.path("/environments/preview");
    world.owner.call(Method::DELETE, &path, None).await.unwrap();
    world.repository.copy.git(&["switch", "--quiet", "main"]).await.unwrap();
}

/// The last push of a repository, as if the branch had been elsewhere before: GitHub is asked.
fn out_of_order(world: &World<'_>, guid: &str) -> Event {
    let events = world.cluster.github.events();
    let last = events
        .iter()
        .rev()
        .find(|event| event.name == "push" && event.payload["ref"] == "refs/heads/main");
    let mut event = last.unwrap().clone();
    event.payload["before"] = Value::from("1".repeat(40));
    guid.clone_into(&mut event.guid);
    event
}

/// GitHub answers slowly, not at all, and never.
async fn late(world: &mut World<'_>) {
    let refusals = || std::iter::repeat_n(Fault::Status(502), 10).collect();
    let slow = || std::iter::repeat_n(Fault::Slow(Duration::from_secs(3)), 3).collect();
    until_delivered(world, "webhooks.renew", slow, "select 1").await;
    until_delivered(world, "webhooks.postpone", refusals, "select 1").await;
    let last = "with last as (update webhook_deliveries set attempts = 7
            where status = 'pending' and attempts < 7 returning 1)
        select count(*) from last";
    until_delivered(world, "webhooks.bury", refusals, last).await;
    let rest = "select count(*) from webhook_deliveries where status = 'pending'";
    world.until_row(rest, "0").await;
}

/// Other calls may meet the faults first: delivers again and again, until the step was taken.
async fn until_delivered(
    world: &mut World<'_>,
    step: &str,
    faults: fn() -> Vec<Fault>,
    meanwhile: &str,
) {
    let began = std::time::Instant::now();
    let mut round = 0;
    while world.is_ahead(step) {
        assert!(began.elapsed() < LONGEST, "{step} is not taken: {:?}", world.points.hit());
        if round % 20 == 0 {
            world.cluster.github.mend();
            world.cluster.github.fail_next(faults());
            let event = out_of_order(world, &format!("{step}-{round}"));
            world.cluster.github.deliver(&event).await.unwrap();
        }
        world.database.lock().await.run(meanwhile).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
        round += 1;
    }
    world.cluster.github.mend();
}

/// A new name that is told, one that is learned from a push, and one that has to be looked for.
async fn renamed(world: &mut World<'_>) {
    let github = &world.cluster.github;
    let mut repository = github.repository("acme/moves").await.unwrap();
    world.owner.create_project("moves", "acme/moves").await;
    repository.commit_directory(&app("web"), "Open").await.unwrap();
    repository.push().await.unwrap();
    let name = "select repository from projects where slug = 'moves'";
    let connected = "select repository_id is not null from projects where slug = 'moves'";
    world.until_row(connected, "t").await;
    repository.rename("acme/told").await.unwrap();
    world.until_row(name, "acme/told").await;
    world.past("webhooks.repository").await;

    github.hold_deliveries();
    repository.rename("acme/untold").await.unwrap();
    drop(github.lose_deliveries());
    repository.commit(&[("version", "2\n")], "Second").await.unwrap();
    repository.push().await.unwrap();
    world.until_row(name, "acme/untold").await;
    world.past("webhooks.follow_name").await;

    github.hold_deliveries();
    repository.rename("acme/lost").await.unwrap();
    drop(github.lose_deliveries());
    let removed = json!({
        "action": "removed",
        "installation": {"id": repository.installation},
        "repositories_removed": [{"id": repository.id, "full_name": "acme/untold"}],
    });
    github.deliver_new("installation_repositories", removed).await.unwrap();
    world.until_row(name, "acme/lost").await;
    world.past("sources.rename").await;
}

/// A suspension that only a refusal tells of, and its end.
async fn suspended(world: &mut World<'_>) {
    let github = &world.cluster.github;
    github.hold_deliveries();
    github.suspend_installation("acme", true).unwrap();
    drop(github.lose_deliveries());
    // A new operator has no token and asks for one.
    world.cluster.signal("operator", Signal::SIGKILL);
    world.past("sources.note_refusal").await;
    github.suspend_installation("acme", false).unwrap();
    world.past("webhooks.installation").await;
    let reason =
        "select count(*) from projects where source_reason_code = 'installation_suspended'";
    world.until_row(reason, "0").await;
}
