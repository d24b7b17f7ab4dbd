//! The life of an instance.

use zeitwork_protocol::report::InstancePhase;

use crate::support::{Node, SERVER, find, get, with_node};

#[tokio::test]
async fn an_instance_of_the_target_runs_and_becomes_healthy() {
    with_node(async |node| {
        let instance = node.instance(1, SERVER).await;
        node.want(1, vec![instance.clone()]);
        let report = node.until_phase(instance.id, InstancePhase::Healthy).await;
        assert_eq!((report.restarts, report.reason), (0, None));
        assert_eq!(get(instance.address).as_deref(), Some("hello-secret 8080\n"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_again_and_again_starts_each_instance_once() {
    with_node(async |node| {
        let mut wanted = Vec::new();
        for number in 1..=3 {
            wanted.push(node.instance(number, SERVER).await);
        }
        node.want(1, wanted.clone());
        for look in 1..=6 {
            let looks = std::cell::Cell::new(0);
            node.until("some looks", |_| {
                looks.set(looks.get() + 1);
                looks.get() >= look
            })
            .await;
            node.kill().await;
            node.start();
        }
        for instance in &wanted {
            node.until_phase(instance.id, InstancePhase::Healthy).await;
        }
        let seen = node.until("restarts", |_| true).await;
        let restarts = |id| find(&seen, id).unwrap().restarts;
        assert_eq!(wanted.iter().map(|instance| restarts(instance.id)).sum::<u32>(), 0);
        assert_eq!(node.engine.list().await.unwrap().len(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_installations_on_one_engine_do_not_disturb_each_other() {
    with_node(async |first| {
        let instance = first.instance(1, SERVER).await;
        first.want(1, vec![instance.clone()]);
        first.until_phase(instance.id, InstancePhase::Healthy).await;
        let starts = async |node: &Node| {
            let listed = node.engine.list().await.unwrap();
            listed.into_iter().map(|c| (c.id, c.started_at)).collect::<Vec<_>>()
        };
        let before = starts(first).await;
        let subnet = first.until("a subnet", |_| true).await.subnet;
        with_node(async |second| {
            let other = second.instance(1, SERVER).await;
            second.want(1, vec![other.clone()]);
            second.until_phase(other.id, InstancePhase::Healthy).await;
            assert_ne!(second.until("a subnet", |_| true).await.subnet, subnet);
            second.want(2, Vec::new());
            second.until("nothing", |seen| seen.instances.is_empty()).await;
        })
        .await;
        assert_eq!(starts(first).await, before);
        assert!(get(instance.address).is_some());
    })
    .await;
}
