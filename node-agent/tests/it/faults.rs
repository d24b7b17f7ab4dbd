//! What instances do wrong, and what is said of it.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::CreateContainerOptionsBuilder;
use zeitwork_model::environment::HealthCheck;
use zeitwork_model::instance::InstanceGoal;
use zeitwork_protocol::report::InstancePhase;
use zeitwork_protocol::target::InstanceTarget;

use crate::support::{LIMIT, Node, SERVER, busybox, find, get, with_node};

/// Each case: what the instance does, the code of the reason and a part of its text.
const FAULTS: [(&str, &str, &str); 6] = [
    ("exit 3", "crashed", "exit code 3, 3 times in a row"),
    ("exec /no/such/program", "crashed", "its command was not found"),
    ("exec httpd -f -p 127.0.0.1:8080", "listens_on_loopback", "listens on 127.0.0.1 only"),
    ("exec httpd -f -p 3000", "listens_elsewhere", "(it listens on 3000)"),
    ("sleep 1000", "nothing_listens", "nothing listens on port 8080"),
    ("tail /dev/zero", "out_of_memory", "more than its limit of 32 MB"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_given_up_with_its_cause() {
    with_node(async |node| {
        let mut instances = Vec::new();
        for (number, (script, _, _)) in (1..).zip(FAULTS) {
            let mut instance = node.instance(number, script).await;
            instance.health.grace_ms = 2_500;
            instances.push(instance);
        }
        let mut missing = node.instance(20, "true").await;
        missing.image = format!("sha256:{}", "0".repeat(64));
        instances.push(missing.clone());
        node.want(1, instances.clone());
        for (instance, (script, code, text)) in instances.iter().zip(FAULTS) {
            let report = node.until_phase(instance.id, InstancePhase::Failed).await;
            let reason = report.reason.unwrap();
            assert_eq!(reason.code, code, "{script}: {}", reason.text);
            assert!(reason.text.contains(text), "{script}: {}", reason.text);
            assert_eq!(report.oom_killed, code == "out_of_memory");
        }
        let report = node.until_phase(missing.id, InstancePhase::Failed).await;
        assert_eq!(report.reason.unwrap().code, "image_missing");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_status_is_named_and_a_healthy_instance_that_crashes_comes_back() {
    with_node(async |node| {
        let mut sick = node.instance(1, SERVER).await;
        let path = Some("/missing".to_owned());
        sick.health = HealthCheck { path, grace_ms: 1_500, ..HealthCheck::default() };
        let go = "while ! test -e /go; do sleep 0.1; done; rm /go";
        let crashing = node.instance(2, &format!("({go}; killall httpd) & {SERVER}")).await;
        node.want(1, vec![sick.clone(), crashing.clone()]);
        node.until_phase(crashing.id, InstancePhase::Healthy).await;
        let report = node.until_phase(sick.id, InstancePhase::Failed).await;
        assert!(report.reason.unwrap().text.ends_with("answers 404 on /missing"));
        let containers = node.engine.list().await.unwrap();
        let container = containers.iter().find(|c| c.instance == Some(crashing.id)).unwrap();
        std::fs::write(format!("/proc/{}/root/go", container.pid), "").unwrap();
        node.until_phase(crashing.id, InstancePhase::Waiting).await;
        let seen = node.until("a second start", |seen| {
            find(seen, crashing.id).is_some_and(|report| {
                report.restarts == 1 && report.phase == InstancePhase::Healthy
            })
        });
        assert_eq!(find(&seen.await, crashing.id).unwrap().reason, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_instance_wakes_at_once_and_a_stopped_one_is_gone() {
    with_node(async |node| {
        let instance = node.instance(1, SERVER).await;
        let with = |goal| vec![InstanceTarget { goal, ..instance.clone() }];
        node.want(1, with(InstanceGoal::Run));
        node.until_phase(instance.id, InstancePhase::Healthy).await;
        node.want(2, with(InstanceGoal::Pause));
        node.until_phase(instance.id, InstancePhase::Paused).await;
        node.want(3, with(InstanceGoal::Run));
        let report = node.until_phase(instance.id, InstancePhase::Healthy).await;
        assert_eq!(report.restarts, 0);
        node.want(4, with(InstanceGoal::Stop));
        let report = node.until_phase(instance.id, InstancePhase::Stopped).await;
        assert_eq!(report.reason, None);
        assert_eq!(get(instance.address), None);
        while !node.engine.list().await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_ignores_sigterm_is_killed_after_its_grace_time() {
    with_node(async |node| {
        let stubborn = format!("trap '' TERM; {}; sleep 1000", SERVER.replace("exec ", ""));
        let mut instance = node.instance(1, &stubborn).await;
        instance.stop_grace_ms = 500;
        node.want(1, vec![instance.clone()]);
        node.until_phase(instance.id, InstancePhase::Healthy).await;
        instance.goal = InstanceGoal::Stop;
        node.want(2, vec![instance.clone()]);
        let report = node.until_phase(instance.id, InstancePhase::Stopped).await;
        assert_eq!((report.reason, report.oom_killed), (None, false));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cpu_quota_is_generous_until_healthy() {
    with_node(async |node| {
        // Serves once somebody has called at another port.
        let mut instance = node.instance(1, &format!("nc -l -p 9000 -e true; {SERVER}")).await;
        instance.health.grace_ms = 30_000;
        node.want(1, vec![instance.clone()]);
        node.until_phase(instance.id, InstancePhase::Starting).await;
        let quota = async |node: &Node| {
            let listed = node.engine.list().await.unwrap();
            // What the engine says of a container is remembered; a quota changes.
            node.engine.forget(&listed[0].id);
            listed[0].cpu_quota
        };
        let every_core = i64::from(zeitwork_node_agent::observe::host::cores()) * 100_000;
        assert_eq!(quota(node).await, every_core, "all that the host has");
        let deadline = Instant::now() + LIMIT;
        while TcpStream::connect((instance.address, 9000)).is_err() {
            assert!(Instant::now() < deadline, "it never listens");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        node.until_phase(instance.id, InstancePhase::Healthy).await;
        while quota(node).await != 20_000 {
            assert!(Instant::now() < deadline, "the quota of a healthy instance is never settled");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_does_not_do_is_told_at_once_and_mended_later() {
    with_node(async |node| {
        let instance = node.instance(1, SERVER).await;
        let docker = node.engine.docker().unwrap();
        let name = format!("zw-{}-{}", node.engine.owner().installation, instance.id);
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let image = Some(busybox().await);
        let body = ContainerCreateBody { image, ..ContainerCreateBody::default() };
        let foreign = docker.create_container(Some(options), body).await.unwrap().id;
        node.want(1, vec![instance.clone()]);
        let seen = node.until("a reason", |seen| {
            find(seen, instance.id)
                .and_then(|report| report.reason.as_ref())
                .is_some_and(|reason| reason.code == "name_taken")
        });
        let report = find(&seen.await, instance.id).unwrap().clone();
        assert_eq!((report.phase, report.restarts), (InstancePhase::Waiting, 0));
        node.engine.remove(&foreign).await.unwrap();
        let report = node.until_phase(instance.id, InstancePhase::Healthy).await;
        assert_eq!((report.reason, report.restarts), (None, 0));
    })
    .await;
}
