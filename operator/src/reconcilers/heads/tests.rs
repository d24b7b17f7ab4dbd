use super::*;
use crate::reconcilers::Webhooks;
use crate::reconcilers::testing::TestWorld;

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_nobody_told_is_found_and_counted_as_drift() {
    let world = TestWorld::start().await;
    let repository = world.github.repository("acme/shop").await.unwrap();
    let project = world.project(&repository).await;
    let first = repository.commit(&[("a", "1")], "First").await.unwrap();
    repository.push().await.unwrap();
    world.store_since(0).await;
    world.settle(&mut Webhooks::new(&world.world)).await;
    // Lost.
    let second = repository.commit(&[("a", "2")], "Second").await.unwrap();
    repository.push().await.unwrap();
    let report = Heads::new(&world.world).pass().await.unwrap();
    assert_eq!((report.changed, report.drift), (1, 1), "{:?}", report.reasons);
    let report = Heads::new(&world.world).pass().await.unwrap();
    assert_eq!((report.seen, report.changed), (1, 0), "{:?}", report.reasons);
    assert_eq!(world.commits(project).await, [first, second]);
    assert_eq!(world.deployments(project).await[1].message, "Second");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_the_project_is_not_deployed_unasked() {
    let world = TestWorld::start().await;
    let repository = world.github.repository("acme/shop").await.unwrap();
    let old = repository.commit(&[("a", "1")], "Old").await.unwrap();
    repository.push().await.unwrap();
    let project = world.project(&repository).await;
    crate::reconcilers::Sources::new(&world.world).pass().await.unwrap();
    let mut heads = Heads::new(&world.world);
    heads.pass().await.unwrap();
    assert!(world.commits(project).await.is_empty());
    // A push of it that is told late is a wish all the same.
    world.store_since(0).await;
    world.settle(&mut Webhooks::new(&world.world)).await;
    assert_eq!(world.commits(project).await, [old]);
}
