use serde_json::json;
use zeitwork_model::generation::Position;
use zeitwork_model::reason::Reason;

use crate::report::{BuildOutcome, BuildReport, InstancePhase, InstanceReport, NodeReport};
use crate::target::NodeTarget;

#[test]
fn a_target_with_fields_of_the_future_is_read() {
    let text = json!({
        "version": 2, "minimum_reader": 1, "position": {"epoch": 1, "generation": 7},
        "instances": [], "builds": [], "keep_images": ["sha256:00"], "volumes": []
    });
    let target: NodeTarget = serde_json::from_value(text).unwrap();
    assert_eq!(target.position, Position { epoch: 1, generation: 7 });
}

#[test]
fn a_build_report_keeps_its_wire_format() {
    let id = "bld_01hx3zj0q7k8m9n2p4r5s6t7vw".parse().unwrap();
    let reason = Reason::new("dockerfile_missing", "there is no Dockerfile");
    let report = BuildReport { id, attempt: 2, outcome: BuildOutcome::Failed { reason } };
    let golden = json!({
        "id": "bld_01hx3zj0q7k8m9n2p4r5s6t7vw", "attempt": 2, "outcome": "failed",
        "reason": {"code": "dockerfile_missing", "text": "there is no Dockerfile"}
    });
    assert_eq!(serde_json::to_value(&report).unwrap(), golden);
    assert_eq!(serde_json::from_value::<BuildReport>(golden).unwrap(), report);
}

#[test]
fn a_phase_of_the_future_is_unknown_not_an_error() {
    let text = json!({
        "id": "ins_01hx3zj0q7k8m9n2p4r5s6t7vw", "phase": "teleporting", "reason": null,
        "restarts": 0, "exit_code": null, "oom_killed": false, "usage": null
    });
    let report: InstanceReport = serde_json::from_value(text).unwrap();
    assert_eq!(report.phase, InstancePhase::Unknown);
}

#[test]
fn a_report_that_does_not_say_when_images_were_listed_is_read() {
    let host = json!({
        "agent_version": "1", "engine_version": "", "kernel": "", "subnet": null, "cores": 1,
        "memory_bytes": 1, "memory_available_bytes": 1, "cpu_millis": 0, "load1": 0.0,
        "disk_bytes": 1, "disk_available_bytes": 1, "network_received_bytes": 0,
        "network_sent_bytes": 0
    });
    let text = json!({
        "version": 1, "minimum_reader": 1, "applied": null, "host": host, "instances": [],
        "builds": [], "images": [], "problems": []
    });
    let report: NodeReport = serde_json::from_value(text).unwrap();
    assert_eq!(report.images_listed_ms_ago, None);
}
