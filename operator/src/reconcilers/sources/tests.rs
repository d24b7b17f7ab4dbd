use zeitwork_database::organisations;
use zeitwork_database::projects::{self, ProjectName};
use zeitwork_database::wishes::{self, NewWish, Wanted};
use zeitwork_model::environment::Trigger;
use zeitwork_model::id::OrganisationId;

use super::*;
use crate::reconcilers::testing::{TestProject, TestWorld};

async fn wish(world: &TestWorld, project: TestProject, reference: Option<&str>) {
    let wish = NewWish {
        organisation_id: world.organisation,
        environment_id: project.environment,
        wanted: Wanted::New { reference, commit: None, message: "", author: "" },
        trigger: Trigger::Manual,
        actor: "key_test",
        delivery_id: None,
        request_id: None,
    };
    wishes::record(&mut *world.sql().await, &wish).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn references_of_github_and_of_any_git_server_become_commits() {
    let world = TestWorld::start().await;
    let private = world.github.repository("acme/shop").await.unwrap();
    let public = world.github.public_repository("acme/open").await.unwrap();
    let mut commits = Vec::new();
    for repository in [&private, &public] {
        commits.push(repository.commit(&[("a", "1")], "First").await.unwrap());
        repository.push().await.unwrap();
    }
    let organisation = world.organisation;
    let github = world.project(&private).await;
    let git = world.project_of(organisation, "open", &public.clone_url, Some("main")).await;
    let missing = world.project_of(organisation, "lost", &public.clone_url, None).await;
    wish(&world, github, None).await;
    wish(&world, git, None).await;
    wish(&world, missing, Some("nowhere")).await;
    let report = Sources::new(&world.world).pass().await.unwrap();
    assert_eq!(report.failed, 0, "{:?}", report.reasons);
    let of_github = world.deployments(github).await.remove(0);
    assert_eq!(of_github.commit_sha.as_ref(), Some(&commits[0]));
    assert_eq!(of_github.message, "First");
    assert_eq!(world.commits(git).await, commits[1..]);
    let lost = world.deployments(missing).await.remove(0);
    assert_eq!(lost.status, DeploymentStatus::Failed);
    assert_eq!(lost.reason_code.as_deref(), Some("reference_not_found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_is_the_owners_until_it_is_given_away() {
    let world = TestWorld::start().await;
    let repository = world.github.repository("acme/shop").await.unwrap();
    let other = OrganisationId::new();
    organisations::insert(&mut *world.sql().await, other, "other", "Other").await.unwrap();
    let stranger = world.project_of(other, "shop", &repository.full_name, None).await;
    let owner = world.project(&repository).await;
    Sources::new(&world.world).pass().await.unwrap();
    let mut sql = world.sql().await;
    let name = ProjectName::Id(owner.id);
    let owner = projects::get(&mut sql, world.organisation, &name).await.unwrap().unwrap();
    assert_eq!(owner.repository_id, i64::try_from(repository.id).ok());
    assert_eq!(owner.installation_id, i64::try_from(repository.installation).ok());
    let name = ProjectName::Id(stranger.id);
    let stranger = projects::get(&mut sql, other, &name).await.unwrap().unwrap();
    assert_eq!(stranger.source_reason_code.as_deref(), Some("installation_not_claimed"));
    assert_eq!(stranger.repository_id, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_git_server_is_asked_while_github_hangs() {
    let world = TestWorld::start().await;
    let private = world.github.repository("acme/shop").await.unwrap();
    let public = world.github.public_repository("acme/open").await.unwrap();
    let commit = public.commit(&[("a", "1")], "First").await.unwrap();
    public.push().await.unwrap();
    world.project(&private).await;
    let git = world.project_of(world.organisation, "open", &public.clone_url, Some("main")).await;
    wish(&world, git, None).await;
    let hangs = zeitwork_stand_ins::github::Fault::Slow(Duration::from_secs(8));
    world.github.fail_next([hangs]);
    let mut sources = Sources::new(&world.world);
    let found = async {
        while world.commits(git).await != [commit.clone()] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = found => {}
        report = sources.pass() => panic!("it waited for GitHub: {report:?}"),
    }
}
