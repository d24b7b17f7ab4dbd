//! Real figures, read from the kernel: of each instance and of the host.

pub mod cgroup;
pub mod host;
pub mod traffic;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Instant;

use zeitwork_model::id::InstanceId;
use zeitwork_protocol::report::Usage;

/// Knows the figures of the report before, for what is a rate.
#[derive(Debug, Default)]
pub struct Sampler {
    before: BTreeMap<InstanceId, (Instant, u64)>,
}

impl Sampler {
    /// What the instance whose first process is `pid` uses; `None` where it is gone.
    pub fn sample(&mut self, instance: InstanceId, pid: i32) -> Option<Usage> {
        let figures = cgroup::read(pid)?;
        let (received, sent) = traffic::read(pid).unwrap_or((0, 0));
        let now = Instant::now();
        let before = self.before.insert(instance, (now, figures.cpu_us));
        let cpu_millis = before.map_or(0, |(time, cpu_us)| {
            let elapsed = now.duration_since(time).as_micros().max(1);
            let used = u128::from(figures.cpu_us.saturating_sub(cpu_us));
            u32::try_from(used * 1000 / elapsed).unwrap_or(u32::MAX)
        });
        Some(Usage {
            cpu_millis,
            cpu_total_us: figures.cpu_us,
            memory_bytes: figures.memory_bytes,
            network_received_bytes: received,
            network_sent_bytes: sent,
            pids: figures.pids,
        })
    }

    /// Forgets instances that are not among these.
    pub fn keep(&mut self, instances: &[InstanceId]) {
        self.before.retain(|id, _| instances.contains(id));
    }
}
