//! Many pushes, doubled and lost ones: the newest commit is live, each once.

use zeitwork_tests::Cluster;
use zeitwork_tests::user::LIVE_LIMIT;

use crate::stories::live_project;

#[tokio::test(flavor = "multi_thread")]
async fn of_five_pushes_in_a_second_the_newest_goes_live_and_the_others_say_why_not() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, _) = live_project(&cluster, "acme/storm").await;
    let mut commits = Vec::new();
    for version in 2..7 {
        let version = format!("{version}\n");
        commits.push(repository.commit(&[("version", &version)], "Hurry").await.unwrap());
        // Told in another order than pushed, an older one would rightly get no deployment.
        cluster.push(&repository).await;
    }
    let newest = commits.pop().unwrap();
    cluster.page_with(&project.host, &format!("commit={newest}"), LIVE_LIMIT).await;
    owner.live(&project, &newest).await;
    for commit in commits {
        let deployment = owner.settled(&project, &commit).await;
        match deployment["status"].as_str().unwrap() {
            "superseded" => assert!(deployment["reason"]["text"].is_string(), "{deployment}"),
            "retired" => assert!(deployment["live_at"].is_string(), "{deployment}"),
            _ => panic!("{deployment}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_comes_twice_makes_one_deployment() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, _) = live_project(&cluster, "acme/twice").await;
    let commit = repository.commit(&[("version", "2\n")], "Once").await.unwrap();
    cluster.push(&repository).await;
    owner.live(&project, &commit).await;
    let event = cluster.github.events().pop().unwrap();
    for _ in 0..3 {
        let delivery = cluster.github.deliver(&event).await.unwrap();
        assert_eq!(delivery.status_code, 202, "{delivery:?}");
    }
    let third = repository.commit(&[("version", "3\n")], "Then").await.unwrap();
    cluster.push(&repository).await;
    owner.live(&project, &third).await;
    let page = owner.get(&format!("/projects/{}/deployments", project.id)).await;
    let of_commit = |d: &&serde_json::Value| d["commit"] == commit;
    assert_eq!(page["items"].as_array().unwrap().iter().filter(of_commit).count(), 1, "{page}");
}
