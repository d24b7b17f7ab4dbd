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

async fn looks(world: &TestWorld) -> Heads {
    crate::reconcilers::Sources::new(&world.world).pass().await.unwrap();
    let mut heads = Heads::new(&world.world);
    heads.pass().await.unwrap();
    heads
}

async fn look_again(world: &TestWorld) -> PassReport {
    Heads::new(&world.world).pass().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_finds_new_branches_that_nobody_told_and_leaves_the_old_ones_alone() {
    let world = TestWorld::start().await;
    let repository = world.github.repository("acme/shop").await.unwrap();
    let mut head = String::new();
    for branch in ["main", "release/1", "release/2"] {
        repository.switch(branch).await.unwrap();
        head = repository.commit(&[("a", branch)], branch).await.unwrap();
        repository.push().await.unwrap();
    }
    let organisation = world.organisation;
    let name = &repository.full_name;
    let project = world.project_of(organisation, "shop", name, Some("release/*")).await;
    looks(&world).await;
    assert!(world.commits(project).await.is_empty(), "what was there is not deployed unasked");
    // Two new branches at once, one of them at a commit that is known from an old one.
    repository.switch("release/3").await.unwrap();
    repository.push().await.unwrap();
    repository.switch("release/4").await.unwrap();
    let fourth = repository.commit(&[("a", "4")], "Fourth").await.unwrap();
    repository.push().await.unwrap();
    repository.switch("other").await.unwrap();
    repository.push().await.unwrap();
    let report = look_again(&world).await;
    assert_eq!((report.changed, report.drift), (2, 2), "{:?}", report.reasons);
    assert_eq!(world.commits(project).await, [head, fourth.clone()]);
    assert_eq!(look_again(&world).await.changed, 0);
    // The old ones are followed from where they were.
    repository.switch("release/4").await.unwrap();
    let next = repository.commit(&[("a", "5")], "Next").await.unwrap();
    repository.push().await.unwrap();
    assert_eq!(look_again(&world).await.changed, 1);
    assert_eq!(world.commits(project).await.last(), Some(&next));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_told_push_of_a_new_branch_and_the_look_make_one_wish() {
    let world = TestWorld::start().await;
    let repository = world.github.repository("acme/shop").await.unwrap();
    let first = repository.commit(&[("a", "1")], "First").await.unwrap();
    repository.push().await.unwrap();
    let organisation = world.organisation;
    let name = &repository.full_name;
    let project = world.project_of(organisation, "shop", name, Some("**")).await;
    let mut heads = looks(&world).await;
    repository.switch("new").await.unwrap();
    let second = repository.commit(&[("a", "2")], "Second").await.unwrap();
    repository.push().await.unwrap();
    assert_eq!(look_again(&world).await.changed, 1);
    world.store_since(1).await;
    world.settle(&mut Webhooks::new(&world.world)).await;
    heads.next_sweep = Instant::now();
    assert_eq!(heads.pass().await.unwrap().changed, 0);
    assert_eq!(world.commits(project).await, [second]);
    assert!(!first.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_pattern_remembers_before_it_deploys() {
    let world = TestWorld::start().await;
    let repository = world.github.repository("acme/shop").await.unwrap();
    for branch in ["main", "release/1", "feature/1"] {
        repository.switch(branch).await.unwrap();
        repository.commit(&[("a", branch)], branch).await.unwrap();
        repository.push().await.unwrap();
    }
    let organisation = world.organisation;
    let name = &repository.full_name;
    let project = world.project_of(organisation, "shop", name, Some("release/*")).await;
    looks(&world).await;
    let change = "update environments set branch = 'feature/*'";
    zeitwork_database::testing::execute(&world.database.owner, change).await;
    assert_eq!(look_again(&world).await.changed, 0);
    repository.switch("feature/2").await.unwrap();
    let new = repository.commit(&[("a", "2")], "New").await.unwrap();
    repository.push().await.unwrap();
    assert_eq!(look_again(&world).await.changed, 1);
    assert_eq!(world.commits(project).await, [new]);
}
