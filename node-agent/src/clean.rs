//! Leaves nothing of the node on the engine and in the host's rules, but images.

use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::container::engine::{Engine, chain};
use crate::container::{Container, ContainerState};
use crate::network::{Network, NetworkError};

/// Time between two looks at what still runs.
const PAUSE: Duration = Duration::from_millis(50);
/// A container that comes within this time of the removal is removed, too.
const LATE: Duration = Duration::from_secs(5);

/// Stops every instance (SIGTERM, `grace`, SIGKILL), then removes containers, bridge and rules.
///
/// # Errors
/// The first thing that could not be removed; calling again goes on from there.
pub async fn clean(
    engine: &Engine,
    network: &mut Network,
    grace: Duration,
) -> Result<(), NetworkError> {
    let running = engine.list().await?;
    join_all(running.iter().map(|container| engine.terminate(&container.id))).await;
    let deadline = Instant::now() + grace;
    while Instant::now() < deadline {
        let listed = engine.list().await?;
        let runs = |state| matches!(state, ContainerState::Running | ContainerState::Paused);
        if !listed.iter().any(|container| runs(container.state)) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let end = Instant::now() + LATE;
    loop {
        remove_all(engine, &engine.list().await?).await;
        let removed = network.remove(engine).await;
        // The last request of an agent that was killed may only now have been carried out.
        let is_left = removed.is_err() || !engine.list().await?.is_empty();
        if !is_left || Instant::now() >= end {
            return removed;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn remove_all(engine: &Engine, containers: &[Container]) {
    let removals = containers.iter().map(|container| engine.remove(&container.id));
    for result in join_all(removals).await {
        if let Err(error) = result {
            tracing::warn!(error = chain(&error), "a container cannot be removed");
        }
    }
}
