use zeitwork_database::testing::execute;
use zeitwork_model::id::ProjectId;
use zeitwork_stand_ins::github::{Fault, Repository};

use super::*;
use crate::reconcilers::Webhooks;
use crate::reconcilers::testing::TestWorld;

#[tokio::test(flavor = "multi_thread")]
async fn github_is_told_once_also_after_it_was_away() {
    let world = TestWorld::start().await;
    let repository = world.github.repository("acme/shop").await.unwrap();
    world.project(&repository).await;
    let sha = repository.commit(&[("a", "b")], "First").await.unwrap();
    repository.push().await.unwrap();
    world.store_since(0).await;
    world.settle(&mut Webhooks::new(&world.world)).await;
    world.github.fail_next([Fault::Status(500)]);
    let mut statuses = CommitStatus::new(&world.world);
    let report = world.settle(&mut statuses).await;
    assert_eq!((report.changed, report.failed), (1, 1));
    world.settle(&mut statuses).await;
    let told = world.github.statuses();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].sha.as_str(), told[0].state.as_str()), (sha.as_str(), "pending"));
    assert_eq!(told[0].context, "zeitwork/production");
    let url = told[0].target_url.as_deref().unwrap();
    assert!(url.starts_with("https://zeitwork.example.com/api/v1/deployments/dep_"), "{url}");
}

/// That many deployments of as many commits, which the given repository has or has not.
async fn deployments(world: &TestWorld, commits: &[String]) {
    for (generation, commit) in commits.iter().enumerate() {
        let copy = format!(
            "insert into deployments (id, organisation_id, project_id, environment_id, generation,
                commit_sha, trigger, status, configuration, variable_set_id, reason_code)
            select gen_random_uuid(), organisation_id, project_id, environment_id,
                100 + {generation}, '{commit}', 'push', 'failed', configuration, variable_set_id, 'x'
            from deployments where generation = 1"
        );
        execute(&world.database.owner, &copy).await;
    }
}

async fn connected() -> (TestWorld, Repository) {
    let world = TestWorld::start().await;
    let repository = world.github.repository("acme/shop").await.unwrap();
    world.project(&repository).await;
    repository.commit(&[("a", "0")], "First").await.unwrap();
    repository.push().await.unwrap();
    world.store_since(0).await;
    world.settle(&mut Webhooks::new(&world.world)).await;
    (world, repository)
}

#[tokio::test(flavor = "multi_thread")]
async fn github_is_called_eighty_times_a_minute_at_most_and_told_all_the_same() {
    let (world, repository) = connected().await;
    let mut commits = Vec::new();
    for n in 0..90 {
        commits.push(repository.commit(&[("a", &n.to_string())], "More").await.unwrap());
    }
    repository.push().await.unwrap();
    deployments(&world, &commits).await;
    let mut statuses = CommitStatus::new(&world.world);
    for _ in 0..10 {
        statuses.pass().await.unwrap();
    }
    assert_eq!(world.github.statuses().len(), PER_MINUTE);
    let report = statuses.pass().await.unwrap();
    let pause = report.again_after.unwrap();
    assert!(pause > Duration::from_secs(30) && pause <= MINUTE, "{pause:?}");
    // The minute is over.
    for at in &mut statuses.calls {
        *at = at.checked_sub(MINUTE).unwrap();
    }
    world.settle(&mut statuses).await;
    assert_eq!(world.github.statuses().len(), 91);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_github_refuses_for_now_do_not_keep_others_from_being_told() {
    let (world, repository) = connected().await;
    let unknown: Vec<String> = (0..30).map(|n| format!("{n:040x}")).collect();
    deployments(&world, &unknown).await;
    world.settle(&mut CommitStatus::new(&world.world)).await;
    let told = world.github.statuses().len();
    // All that GitHub is asked for fails: more than are looked at at once.
    execute(&world.database.owner, "update deployments set status_told = null").await;
    world.github.fail_next(std::iter::repeat_n(Fault::Status(502), 31));
    let mut statuses = CommitStatus::new(&world.world);
    let (mut failed, mut passes) = (0, 0);
    while failed < 31 && passes < 10 {
        failed += statuses.pass().await.unwrap().failed;
        passes += 1;
    }
    assert_eq!(failed, 31, "each was tried once");
    let commit = repository.commit(&[("a", "1")], "Next").await.unwrap();
    repository.push().await.unwrap();
    deployments(&world, std::slice::from_ref(&commit)).await;
    statuses.pass().await.unwrap();
    let statuses = world.github.statuses();
    assert!(statuses[told..].iter().any(|status| status.sha == commit), "{statuses:?}");
}

#[test]
fn a_description_fits_github() {
    let untold = Untold {
        id: DeploymentId::new(),
        project_id: ProjectId::new(),
        environment: "production".to_owned(),
        repository: "acme/shop".to_owned(),
        installation_id: 1,
        commit_sha: String::new(),
        status: DeploymentStatus::Failed,
        reason_text: Some("ü".repeat(300)),
        told: None,
    };
    assert_eq!(description(&untold), "ü".repeat(140));
}
