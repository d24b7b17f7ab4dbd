use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;
use zeitwork_model::environment::Limits;
use zeroize::Zeroizing;

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
