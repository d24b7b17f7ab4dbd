use zeitwork_model::id::ProjectId;
use zeitwork_stand_ins::github::Fault;

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
