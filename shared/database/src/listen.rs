//! Signals: "look again", without content.
//!
//! A signal can be lost (connection gone, transaction pooler in front), so whoever waits here
//! also looks on a period. Every loss of the connection counts as a signal.

use std::time::Duration;

use sqlx::postgres::PgListener;

use crate::Database;

/// Wakes the operator: wishes, deliveries, reports, edges.
pub const OPERATOR: &str = "zw_operator";
/// Wakes node agents: targets.
pub const NODES: &str = "zw_nodes";
/// Wakes edges: routes.
pub const ROUTES: &str = "zw_routes";
/// Wakes event streams.
pub const EVENTS: &str = "zw_events";
/// Wakes log streams.
pub const LOGS: &str = "zw_logs";
/// Wakes what holds on to API keys.
pub const KEYS: &str = "zw_keys";

/// Pause before a lost listener is connected again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Signals on some channels, over a connection of its own.
#[derive(Debug)]
pub struct Signals {
    database: Database,
    channels: Vec<&'static str>,
    listener: Option<PgListener>,
}

impl Signals {
    /// Listens on the channels from the first call of [`Signals::next`] on.
    #[must_use]
    pub fn new(database: &Database, channels: &[&'static str]) -> Self {
        Self { database: database.clone(), channels: channels.to_vec(), listener: None }
    }

    /// Waits for a signal on any of the channels, or for the listener to be lost or found again;
    /// either way: look again. Signals that have piled up count as one. Cancel-safe.
    pub async fn next(&mut self) {
        let Some(listener) = &mut self.listener else {
            match self.connect().await {
                Ok(listener) => self.listener = Some(listener),
                Err(error) => {
                    tracing::debug!(%error, "the signal connection cannot be made");
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
            }
            return;
        };
        match listener.try_recv().await {
            Ok(Some(_)) => while listener.next_buffered().is_some() {},
            // Whatever happened to the connection: signals may have been missed.
            Ok(None) | Err(_) => self.listener = None,
        }
    }

    async fn connect(&self) -> Result<PgListener, sqlx::Error> {
        let mut listener = PgListener::connect_with(self.database.pool()).await?;
        listener.listen_all(self.channels.iter().copied()).await?;
        Ok(listener)
    }
}
