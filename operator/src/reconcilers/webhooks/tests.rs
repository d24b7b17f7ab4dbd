use zeitwork_database::{github_installations as installations, organisations};
use zeitwork_model::deployment::DeploymentStatus;
use zeitwork_model::id::OrganisationId;
use zeitwork_model::webhook::DeliveryStatus;
use zeitwork_stand_ins::github::{Event, Fault, Repository};

use super::*;
use crate::reconcilers::testing::{TestProject, TestWorld};

async fn shop() -> (TestWorld, Repository, TestProject, Webhooks) {
    let world = TestWorld::start().await;
    let repository = world.github.repository("acme/shop").await.unwrap();
    let project = world.project(&repository).await;
    let webhooks = Webhooks::new(&world.world);
    (world, repository, project, webhooks)
}

async fn push(repository: &Repository, message: &str) -> String {
    let sha = repository.commit(&[("page", message)], message).await.unwrap();
    repository.push().await.unwrap();
    sha
}

/// Another organisation.
async fn stranger_of(world: &TestWorld) -> OrganisationId {
    let other = OrganisationId::new();
    organisations::insert(&mut *world.sql().await, other, "other", "Other").await.unwrap();
    other
}

fn outcome(delivery: &zeitwork_database::webhook_deliveries::Delivery) -> (DeliveryStatus, &str) {
    (delivery.status, delivery.reason_code.as_deref().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_becomes_a_wish_of_exactly_that_commit() {
    let (world, repository, project, mut webhooks) = shop().await;
    let sha = push(&repository, "First\n\nwith a body").await;
    let ids = world.store_since(0).await;
    let report = world.settle(&mut webhooks).await;
    assert_eq!((report.changed, report.failed), (1, 0), "{:?}", report.reasons);
    assert_eq!(outcome(&world.delivery(ids[0]).await), (DeliveryStatus::Processed, ""));
    let deployments = world.deployments(project).await;
    assert_eq!(deployments.len(), 1);
    assert_eq!(deployments[0].commit_sha.as_deref(), Some(sha.as_str()));
    assert_eq!(deployments[0].reference.as_deref(), Some("main"));
    assert_eq!(deployments[0].message, "First\n\nwith a body");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_deliveries_of_one_commit_make_one_wish() {
    let (world, repository, project, mut webhooks) = shop().await;
    let sha = push(&repository, "First").await;
    let event = world.github.events().remove(0);
    world.store(&event, &event.guid).await;
    let again = world.store(&event, "another-guid").await;
    world.settle(&mut webhooks).await;
    assert_eq!(outcome(&world.delivery(again).await), (DeliveryStatus::Ignored, "already_seen"));
    assert_eq!(world.commits(project).await, [sha]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_five_pushes_in_a_second_the_newest_is_wished_last() {
    let (world, repository, project, mut webhooks) = shop().await;
    let mut newest = String::new();
    for n in 0..5 {
        newest = push(&repository, &format!("Commit {n}")).await;
    }
    world.store_since(0).await;
    world.settle(&mut webhooks).await;
    let deployments = world.deployments(project).await;
    let last = deployments.last().unwrap();
    assert_eq!(last.commit_sha.as_deref(), Some(newest.as_str()));
    let open: Vec<_> =
        deployments.iter().filter(|d| d.status == DeploymentStatus::Queued).collect();
    assert_eq!(open.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_late_brings_nothing_back() {
    let (world, repository, project, mut webhooks) = shop().await;
    let first = push(&repository, "First").await;
    let second = push(&repository, "Second").await;
    let events = world.github.events();
    world.store(&events[1], &events[1].guid).await;
    world.settle(&mut webhooks).await;
    let late = world.store(&events[0], &events[0].guid).await;
    world.settle(&mut webhooks).await;
    assert_eq!(world.commits(project).await, std::slice::from_ref(&second));
    let delivery = world.delivery(late).await;
    assert_eq!(outcome(&delivery), (DeliveryStatus::Ignored, "superseded"));
    let text = delivery.reason_text.unwrap();
    assert!(text.contains(&second) && !text.contains(&first), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outdated_push_deploys_the_head_that_nobody_told() {
    let (world, repository, project, mut webhooks) = shop().await;
    push(&repository, "First").await;
    let head = push(&repository, "Second").await;
    let event = world.github.events().remove(0);
    let id = world.store(&event, &event.guid).await;
    world.settle(&mut webhooks).await;
    assert_eq!(outcome(&world.delivery(id).await), (DeliveryStatus::Processed, "superseded"));
    let deployments = world.deployments(project).await;
    assert_eq!(deployments[0].commit_sha.as_deref(), Some(head.as_str()));
    assert_eq!((deployments.len(), deployments[0].message.as_str()), (1, "Second"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_force_push_back_deploys_the_older_commit_again() {
    let (world, repository, project, mut webhooks) = shop().await;
    let first = push(&repository, "First").await;
    let second = push(&repository, "Second").await;
    let ids = world.store_since(0).await;
    world.settle(&mut webhooks).await;
    repository.reset(&first).await.unwrap();
    repository.force_push().await.unwrap();
    world.store_since(ids.len()).await;
    world.settle(&mut webhooks).await;
    let commits = world.commits(project).await;
    assert_eq!(commits.last(), Some(&first), "{commits:?}");
    assert!(commits.contains(&second));
    // Everything once more, under other names: nothing happens.
    let before = commits.len();
    for event in world.github.events() {
        world.store(&event, &format!("again-{}", event.guid)).await;
    }
    world.settle(&mut webhooks).await;
    assert_eq!(world.commits(project).await.len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_other_and_deleted_branches_are_ignored_with_a_reason() {
    let (world, repository, project, mut webhooks) = shop().await;
    push(&repository, "First").await;
    repository.copy.git(&["tag", "v1"]).await.unwrap();
    repository.copy.git(&["push", "--quiet", "origin", "v1"]).await.unwrap();
    repository.switch("other").await.unwrap();
    push(&repository, "Other").await;
    repository.delete_branch("other").await.unwrap();
    let ids = world.store_since(0).await;
    world.settle(&mut webhooks).await;
    let mut codes = Vec::new();
    for id in ids {
        codes.push(world.delivery(id).await.reason_code.unwrap_or_default());
    }
    assert_eq!(codes, ["", "not_a_branch", "branch_not_followed", "branch_deleted"]);
    assert_eq!(world.commits(project).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_github_is_asked_again() {
    for fault in [Fault::Status(502), Fault::SecondaryLimit(1), Fault::PrimaryLimit(1)] {
        let (world, repository, project, mut webhooks) = shop().await;
        let sha = push(&repository, "First").await;
        // Installation, token, repository, head: each call fails once.
        let one = [Fault::None, fault];
        world.github.fail_next(std::iter::once(fault).chain(one).chain(one));
        let ids = world.store_since(0).await;
        let report = world.settle(&mut webhooks).await;
        assert!(report.failed > 0, "{fault:?}");
        assert_eq!(outcome(&world.delivery(ids[0]).await).0, DeliveryStatus::Processed);
        assert_eq!(world.commits(project).await, [sha], "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_tokens_are_replaced_unnoticed() {
    let (world, repository, project, mut webhooks) = shop().await;
    push(&repository, "First").await;
    world.store_since(0).await;
    world.settle(&mut webhooks).await;
    world.github.revoke_tokens();
    push(&repository, "Second").await;
    let third = push(&repository, "Third").await;
    let event = world.github.events().remove(2);
    world.store(&event, &event.guid).await;
    let report = world.settle(&mut webhooks).await;
    assert_eq!(report.failed, 0, "{:?}", report.reasons);
    assert_eq!(world.commits(project).await.last(), Some(&third));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_installation_is_a_reason_until_it_is_over() {
    let (world, repository, project, mut webhooks) = shop().await;
    push(&repository, "First").await;
    world.store_since(0).await;
    world.settle(&mut webhooks).await;
    let reason = async || {
        let name = zeitwork_database::projects::ProjectName::Id(project.id);
        let mut sql = world.sql().await;
        let found = zeitwork_database::projects::get(&mut sql, world.organisation, &name).await;
        found.unwrap().unwrap().source_reason_code
    };
    assert_eq!(reason().await, None);
    world.github.suspend_installation("acme", true).unwrap();
    world.store_since(1).await;
    world.settle(&mut webhooks).await;
    assert_eq!(reason().await.as_deref(), Some("installation_suspended"));
    world.github.suspend_installation("acme", false).unwrap();
    world.store_since(2).await;
    world.settle(&mut webhooks).await;
    assert_eq!(reason().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_payload_dies_and_what_is_not_used_is_ignored() {
    let (world, repository, _project, mut webhooks) = shop().await;
    push(&repository, "First").await;
    let event = world.github.events().remove(0);
    let with = |name: &str, payload: serde_json::Value| Event {
        name: name.to_owned(),
        payload,
        ..event.clone()
    };
    let mut strange = event.payload.clone();
    strange["repository"]["id"] = 4711.into();
    strange["repository"]["full_name"] = "eve/other".into();
    let table = [
        (with("push", serde_json::json!({"ref": 1})), DeliveryStatus::Dead, "payload_unreadable"),
        (with("push", strange), DeliveryStatus::Ignored, "no_project"),
        (with("star", serde_json::json!({})), DeliveryStatus::Ignored, "event_not_used"),
        (with("ping", serde_json::json!({"zen": "…"})), DeliveryStatus::Processed, ""),
    ];
    for (i, (event, status, code)) in table.into_iter().enumerate() {
        let id = world.store(&event, &format!("guid-{i}")).await;
        world.settle(&mut webhooks).await;
        assert_eq!(outcome(&world.delivery(id).await), (status, code));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_with_the_same_repository_neither_gets_a_push_nor_stops_it() {
    let world = TestWorld::start().await;
    let repository = world.github.repository("acme/shop").await.unwrap();
    let other = stranger_of(&world).await;
    // The stranger's project is the older one: it is looked at first.
    let stranger = world.project_of(other, "shop", &repository.full_name, None).await;
    let owner = world.project(&repository).await;
    let second = world.project_of(world.organisation, "again", &repository.full_name, None).await;
    let sha = push(&repository, "First").await;
    let ids = world.store_since(0).await;
    world.settle(&mut Webhooks::new(&world.world)).await;
    assert_eq!(outcome(&world.delivery(ids[0]).await).0, DeliveryStatus::Processed);
    assert_eq!(world.commits(owner).await, std::slice::from_ref(&sha));
    assert_eq!(world.commits(second).await, [sha], "two projects may have one repository");
    let of_stranger =
        format!("select id::text from wishes where environment_id = '{}'", stranger.environment.0);
    let wishes = zeitwork_database::testing::texts(&world.database.owner, &of_stranger).await;
    assert!(wishes.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_for_an_installation_that_nobody_here_may_use_is_ignored_with_a_reason() {
    let world = TestWorld::start().await;
    let repository = world.github.repository("acme/shop").await.unwrap();
    let other = stranger_of(&world).await;
    world.project_of(other, "shop", &repository.full_name, None).await;
    push(&repository, "First").await;
    let ids = world.store_since(0).await;
    world.settle(&mut Webhooks::new(&world.world)).await;
    let ended = world.delivery(ids[0]).await;
    assert_eq!(outcome(&ended), (DeliveryStatus::Ignored, "installation_not_claimed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_never_works_is_buried_after_eight_attempts_and_says_why() {
    let (world, repository, project, mut webhooks) = shop().await;
    push(&repository, "First").await;
    let ids = world.store_since(0).await;
    let now = "update webhook_deliveries set next_attempt_at = now() where status = 'pending'";
    for attempt in 1..=8 {
        world.github.fail_next([Fault::Status(502)]);
        zeitwork_database::testing::execute(&world.database.owner, now).await;
        let report = webhooks.pass().await.unwrap();
        assert_eq!((report.changed, report.failed), (0, 1), "attempt {attempt}");
        let delivery = world.delivery(ids[0]).await;
        let expected = if attempt < 8 { DeliveryStatus::Pending } else { DeliveryStatus::Dead };
        assert_eq!(outcome(&delivery), (expected, "github_unavailable"), "attempt {attempt}");
    }
    assert!(world.commits(project).await.is_empty());
    zeitwork_database::testing::execute(&world.database.owner, now).await;
    assert_eq!(webhooks.pass().await.unwrap().seen, 0, "it is dead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_kept_while_it_is_worked_on() {
    let (world, repository, project, mut webhooks) = shop().await;
    let sha = push(&repository, "First").await;
    world.store_since(0).await;
    world
        .github
        .fail_next([Fault::Slow(Duration::from_secs(8)), Fault::Slow(Duration::from_secs(8))]);
    let lease = "select extract(epoch from next_attempt_at - now())::int::text
        from webhook_deliveries where attempts > 0";
    let (least, passed) = tokio::join!(
        async {
            let mut least = i32::MAX;
            while world.delivery_is_pending().await {
                let left = zeitwork_database::testing::texts(&world.database.owner, lease).await;
                if world.delivery_is_pending().await
                    && let Some(left) = left.first()
                {
                    least = least.min(left.parse().unwrap());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            least
        },
        webhooks.pass()
    );
    assert_eq!(passed.unwrap().changed, 1);
    assert!(least > 0, "nobody else could have taken it: {least} s were left");
    assert_eq!(world.commits(project).await, [sha]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_was_renamed_or_moved_is_followed_whether_it_was_told_or_not() {
    for (name, told) in [("acme/store", true), ("acme/store", false), ("other/shop", true)] {
        let (world, mut repository, project, mut webhooks) = shop().await;
        push(&repository, "First").await;
        let first = world.store_since(0).await.len();
        world.settle(&mut webhooks).await;
        repository.rename(name).await.unwrap();
        let renamed = world.github.events().len();
        if told {
            world.store_since(first).await;
            world.settle(&mut webhooks).await;
        }
        let second = push(&repository, "Second").await;
        let third = push(&repository, "Third").await;
        world.store_since(renamed).await;
        world.settle(&mut webhooks).await;
        let commits = world.commits(project).await;
        assert_eq!(&commits[1..], [second, third], "{name}, told: {told}");
        let now = "select repository from projects";
        let now = zeitwork_database::testing::texts(&world.database.owner, now).await;
        assert_eq!(now, [name], "told: {told}");
        // GitHub is told under the new name.
        world.settle(&mut crate::reconcilers::CommitStatus::new(&world.world)).await;
        let told = world.github.statuses();
        assert!(told.iter().any(|status| status.repository == name), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_before_an_installation_was_given_is_deployed_once_it_is() {
    let world = TestWorld::start().await;
    let repository = world.github.repository("acme/shop").await.unwrap();
    let other = stranger_of(&world).await;
    let project = world.project_of(other, "shop", &repository.full_name, None).await;
    let sha = push(&repository, "First").await;
    let ids = world.store_since(0).await;
    let mut webhooks = Webhooks::new(&world.world);
    world.settle(&mut webhooks).await;
    let ignored = world.delivery(ids[0]).await;
    assert_eq!(outcome(&ignored), (DeliveryStatus::Ignored, "installation_not_claimed"));
    let number = i64::try_from(repository.installation).unwrap();
    let advice = format!("installations assign {number} --organisation other");
    assert!(ignored.reason_text.unwrap().contains(&advice));
    let mut sql = world.sql().await;
    installations::give(&mut sql, number, Some(other)).await.unwrap();
    zeitwork_database::webhook_deliveries::take_up(&mut sql, number).await.unwrap();
    drop(sql);
    world.settle(&mut webhooks).await;
    assert_eq!(outcome(&world.delivery(ids[0]).await), (DeliveryStatus::Processed, ""));
    let deployed = format!(
        "select commit_sha from deployments where environment_id = '{}'",
        project.environment.0
    );
    assert_eq!(zeitwork_database::testing::texts(&world.database.owner, &deployed).await, [sha]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_is_known_as_soon_as_github_tells_of_it() {
    let (world, _repository, _project, mut webhooks) = shop().await;
    let event = Event {
        guid: "created".to_owned(),
        name: "installation".to_owned(),
        payload: serde_json::json!({
            "action": "created", "repositories": [],
            "installation": { "id": 4711, "account": { "login": "eve" } }
        }),
    };
    world.store(&event, "created").await;
    world.settle(&mut webhooks).await;
    let known = "select account || ':' || coalesce(organisation_id::text, 'nobody')
        from github_installations where installation_id = 4711";
    let found = zeitwork_database::testing::texts(&world.database.owner, known).await;
    assert_eq!(found, ["eve:nobody"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_does_not_keep_an_installation_that_was_given_away_while_it_was_asked() {
    let (world, repository, project, mut webhooks) = shop().await;
    push(&repository, "First").await;
    world.store_since(0).await;
    world.settle(&mut webhooks).await;
    let other = stranger_of(&world).await;
    let number = i64::try_from(repository.installation).unwrap();
    let mut sql = world.sql().await;
    installations::give(&mut sql, number, Some(other)).await.unwrap();
    let name = &repository.full_name;
    let late = zeitwork_database::steps::sources::connect(&mut sql, project.id, name, number, 7);
    assert!(matches!(late.await, Err(zeitwork_database::Error::Stale(_))));
}
