//! One watcher of health for each instance that runs and shall run.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use zeitwork_model::id::InstanceId;
use zeitwork_model::instance::InstanceGoal;
use zeitwork_protocol::target::NodeTarget;
use zeitwork_runtime::lifecycle::Lifecycle;

use crate::container::{Container, ContainerState};
use crate::health::{Probe, Verdict, watch};
use crate::life::Life;

/// The running watchers.
#[derive(Debug)]
pub struct Monitors {
    life: Lifecycle,
    verdicts: mpsc::Sender<Verdict>,
    running: BTreeMap<InstanceId, (String, AbortHandle)>,
}

impl Monitors {
    /// None yet; their verdicts go to the sender.
    #[must_use]
    pub fn new(life: Lifecycle, verdicts: mpsc::Sender<Verdict>) -> Self {
        Self { life, verdicts, running: BTreeMap::new() }
    }

    /// Starts and ends watchers so that exactly what runs and shall run is watched.
    pub fn follow(
        &mut self,
        target: &NodeTarget,
        containers: &[Container],
        lives: &BTreeMap<InstanceId, Life>,
    ) {
        let mut wanted = BTreeMap::new();
        for instance in target.instances.iter().filter(|i| i.goal == InstanceGoal::Run) {
            let container = containers
                .iter()
                .find(|c| c.instance == Some(instance.id) && c.state == ContainerState::Running);
            let life = lives.get(&instance.id).filter(|life| life.given_up.is_none());
            let (Some(container), Some(life)) = (container, life) else { continue };
            wanted.insert(
                instance.id,
                Probe {
                    instance: instance.id,
                    start: container.started_at.clone(),
                    address: SocketAddrV4::new(instance.address, instance.port),
                    pid: container.pid,
                    check: instance.health.clone(),
                    healthy: life.healthy,
                },
            );
        }
        self.running.retain(|id, (start, handle)| {
            let stays = wanted.get(id).is_some_and(|probe| probe.start == *start);
            if !stays {
                handle.abort();
            }
            stays
        });
        for (id, probe) in wanted {
            if !self.running.contains_key(&id) {
                let start = probe.start.clone();
                let watcher = stop_with(self.life.clone(), watch(probe, self.verdicts.clone()));
                let handle = self.life.spawn_detached("health", watcher);
                self.running.insert(id, (start, handle));
            }
        }
    }
}

async fn stop_with(life: Lifecycle, work: impl Future<Output = ()>) {
    tokio::select! {
        () = life.stopping() => {}
        () = work => {}
    }
}
