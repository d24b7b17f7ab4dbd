//! Figures against the engine's own.

use bollard::query_parameters::StatsOptionsBuilder;
use futures::StreamExt as _;
use zeitwork_model::id::InstanceId;
use zeitwork_node_agent::observe::Sampler;
use zeitwork_protocol::report::InstancePhase;

use crate::support::{Node, SERVER, get, with_node};

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_of_an_instance_are_those_of_the_engine() {
    with_node(async |node| {
        let instance = node.instance(1, SERVER).await;
        node.want(1, vec![instance.clone()]);
        node.until_phase(instance.id, InstancePhase::Healthy).await;
        for _ in 0..50 {
            get(instance.address).unwrap();
        }
        // Both sides read at slightly different times: some look has to find them agree.
        let mut disagreement = Some(String::new());
        for _ in 0..10 {
            disagreement = disagree(node, instance.id).await;
            if disagreement.is_none() {
                break;
            }
        }
        assert_eq!(disagreement, None);
    })
    .await;
}

/// What of our figures differs by more than a tenth (and half a megabyte of memory, which the
/// kernel counts in batches) from the engine's.
async fn disagree(node: &Node, instance: InstanceId) -> Option<String> {
    let container = node.engine.list().await.unwrap().remove(0);
    let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
    let docker = node.engine.docker().unwrap();
    let theirs = docker.stats(&container.id, Some(options)).next().await.unwrap().unwrap();
    let ours = Sampler::default().sample(instance, container.pid).unwrap();
    assert!(ours.cpu_total_us > 0 && ours.network_sent_bytes > 1_000 && ours.memory_bytes > 0);

    let cpu = theirs.cpu_stats.unwrap().cpu_usage.unwrap().total_usage.unwrap();
    let memory = theirs.memory_stats.unwrap();
    let stats = memory.stats.unwrap();
    let idle = stats.get("total_inactive_file").or_else(|| stats.get("inactive_file"));
    let memory = memory.usage.unwrap() - idle.copied().unwrap_or(0);
    let network = &theirs.networks.unwrap()["eth0"];
    let pids = theirs.pids_stats.unwrap().current.unwrap();
    let figures = [
        ("cpu", ours.cpu_total_us, cpu / 1000, 0),
        ("memory", ours.memory_bytes, memory, 1 << 19),
        ("received", ours.network_received_bytes, network.rx_bytes.unwrap(), 0),
        ("sent", ours.network_sent_bytes, network.tx_bytes.unwrap(), 0),
        ("pids", ours.pids.into(), pids, 0),
    ];
    let far = figures
        .iter()
        .find(|(_, ours, theirs, slack)| ours.abs_diff(*theirs) > theirs / 10 + slack);
    far.map(|figure| format!("{figure:?}"))
}
