//! Leaves nothing of the node on the engine and in the host's rules, but images.

use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::container::ContainerState;
use crate::container::engine::{Engine, chain};
use crate::network::{Network, NetworkError};

/// Time between two looks at what still runs.
const PAUSE: Duration = Duration::from_millis(50);

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
    let removals = engine.list().await?;
    for result in join_all(removals.iter().map(|c| engine.remove(&c.id))).await {
        if let Err(error) = result {
            tracing::warn!(error = chain(&error), "a container cannot be removed");
        }
    }
    network.remove(engine).await
}
