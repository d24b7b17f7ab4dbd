//! The engine's events: a hint to look again, never the truth.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::EventsOptionsBuilder;
use futures::StreamExt as _;
use tokio::sync::Notify;

use super::engine::Engine;

/// Pause before a lost stream is opened again.
const PAUSE: Duration = Duration::from_secs(1);

/// Wakes whoever waits on `again` whenever something happens to a container of ours. Never ends.
pub async fn watch(engine: Arc<Engine>, again: Arc<Notify>) {
    loop {
        if let Ok(docker) = engine.docker() {
            let filters = HashMap::from([
                ("type", vec!["container".to_owned()]),
                ("label", engine.owner().filters()),
            ]);
            let options = EventsOptionsBuilder::new().filters(&filters).build();
            let mut events = docker.events(Some(options));
            while let Some(Ok(event)) = events.next().await {
                if let Some(id) = event.actor.and_then(|actor| actor.id) {
                    engine.forget(&id);
                }
                again.notify_one();
            }
        }
        tokio::time::sleep(PAUSE).await;
        again.notify_one();
    }
}
