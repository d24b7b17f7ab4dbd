use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use zeitwork_model::environment::Limits;
use zeitwork_model::id::InstanceId;
use zeroize::Zeroizing;

use super::ContainerState;
use super::engine::Engine;
use super::labels::Owner;
use super::specification::{Specification, settle_body, settled_quota};

fn specifications() -> impl Strategy<Value = Specification> {
    let text = "[ -~]{0,24}";
    (
        (text, text, prop::collection::vec(text, 0..4)),
        prop::collection::btree_map("[A-Z_]{1,8}", text, 0..4),
        prop::collection::vec(text, 0..3),
        (any::<u32>(), any::<u32>(), any::<u32>(), 0u32..256),
    )
        .prop_map(
            |((name, image, command), environment, names, (address, cpu, memory, cores))| {
                Specification {
                    hostname: name.clone(),
                    name,
                    image,
                    command,
                    environment: environment
                        .into_iter()
                        .map(|(name, value)| (name, Zeroizing::new(value)))
                        .collect(),
                    labels: BTreeMap::new(),
                    network: "zw-test".to_owned(),
                    address: Ipv4Addr::from(address),
                    names,
                    limits: Limits { cpu_millis: cpu, memory_mb: memory },
                    cores,
                }
            },
        )
}

proptest! {
    /// Closed by what is absent: every key of the host configuration that we ever send is named
    /// here, so a new one needs a change of this test.
    #[test]
    fn no_configuration_gets_more_than_a_tenant_may(specification in specifications()) {
        let body = serde_json::to_value(specification.create_body()).unwrap();
        let host = body["HostConfig"].as_object().unwrap();
        let known = [
            "CapAdd", "CapDrop", "CpuPeriod", "CpuQuota", "Init", "IpcMode", "LogConfig", "Memory",
            "MemorySwap", "NetworkMode", "OomScoreAdj", "PidsLimit", "Privileged",
            "PublishAllPorts", "RestartPolicy", "SecurityOpt",
        ];
        for (key, value) in host {
            prop_assert!(known.contains(&key.as_str()) || value.is_null(), "{key} is {value}");
        }
        prop_assert_eq!(&host["Privileged"], false);
        prop_assert_eq!(&host["PublishAllPorts"], false);
        prop_assert_eq!(&host["Init"], true);
        prop_assert_eq!(&host["CapDrop"], &serde_json::json!(["ALL"]));
        prop_assert_eq!(&host["SecurityOpt"], &serde_json::json!(["no-new-privileges:true"]));
        prop_assert_eq!(&host["NetworkMode"], "zw-test");
        prop_assert_eq!(&host["IpcMode"], "private");
        prop_assert_eq!(&host["RestartPolicy"]["Name"], "no");
        prop_assert_eq!(&host["Memory"], &host["MemorySwap"]);
        for (key, least) in [("Memory", 6 << 20), ("PidsLimit", 1), ("CpuQuota", 1_000)] {
            prop_assert!(host[key].as_i64().unwrap() >= least, "{key}");
        }
        for capability in host["CapAdd"].as_array().unwrap() {
            let capability = capability.as_str().unwrap();
            prop_assert!(!["NET_RAW", "NET_ADMIN", "SYS_ADMIN", "MKNOD"].contains(&capability));
        }
        let known = ["Cmd", "Env", "HostConfig", "Hostname", "Image", "Labels", "NetworkingConfig"];
        for (key, value) in body.as_object().unwrap() {
            prop_assert!(known.contains(&key.as_str()) || value.is_null(), "{key} is {value}");
        }
        let endpoints = body["NetworkingConfig"]["EndpointsConfig"].as_object().unwrap();
        prop_assert_eq!(endpoints.keys().collect::<Vec<_>>(), vec!["zw-test"]);
    }

    /// The update goes through the same module and can change nothing but the CPU quota.
    #[test]
    fn an_update_changes_the_cpu_quota_alone(cpu in any::<u32>(), memory in any::<u32>()) {
        let limits = Limits { cpu_millis: cpu, memory_mb: memory };
        let body = serde_json::to_value(settle_body(limits)).unwrap();
        for (key, value) in body.as_object().unwrap() {
            prop_assert!(["CpuPeriod", "CpuQuota"].contains(&key.as_str()) || value.is_null());
        }
        prop_assert_eq!(body["CpuQuota"].as_i64().unwrap(), settled_quota(limits));
    }
}

/// An engine that lists two containers and cannot show the first.
async fn half_broken(listener: tokio::net::UnixListener, instance: InstanceId) {
    let listed = r#"[{"Id":"bad","State":"running","Labels":{"dev.zeitwork.instance":"INSTANCE"}},
        {"Id":"good","State":"running"}]"#;
    let listed = listed.replace("INSTANCE", &instance.to_string());
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let (status, body) = if head.contains("/containers/bad/") {
            ("500 Internal Server Error", r#"{"message":"its configuration is damaged"}"#)
        } else if head.contains("/containers/good/") {
            ("200 OK", r#"{"Id":"good","State":{"Status":"running","StartedAt":"now"}}"#)
        } else {
            ("200 OK", listed.as_str())
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n");
        let answer = format!("{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_container_that_the_engine_cannot_show_does_not_hide_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let instance = InstanceId::new();
    let server = tokio::task::JoinSet::from_iter([half_broken(listener, instance)]);
    let owner = Owner { installation: "a".to_owned(), node: "one".to_owned() };
    let engine = Engine::new(format!("unix://{}", socket.display()), owner);
    let listed = engine.list().await.unwrap();
    let states: Vec<_> = listed.iter().map(|it| (it.id.as_str(), it.state)).collect();
    assert_eq!(states, [("bad", ContainerState::Changing), ("good", ContainerState::Running)]);
    assert_eq!(listed[0].instance, Some(instance));
    assert!(listed[0].error.contains("damaged"), "{}", listed[0].error);
    drop(server);
}
