//! Streams of server-sent events: logs and events, resumed without gap or repeat.
//!
//! A stream reads the database after its cursor whenever something may be new (a signal, or a
//! second has passed), so it sees the same as a page does. It never blocks anybody else: what a
//! slow reader has not taken is bounded, and then its stream is closed.

pub mod cursor;
pub mod events;
pub mod logs;
pub mod pump;
pub mod wake;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Semaphore, watch};
use zeitwork_database::{PgConnection, api_keys};
use zeitwork_model::id::ApiKeyId;
use zeitwork_web::{Code, Metrics, Problem};

use crate::error::Answer;

/// How long the answer to "does the key hold?" is good for all streams of a key.
const KEY_FRESH: Duration = Duration::from_millis(900);

/// Reads of all streams at once: the pool's other connections are for requests, however many
/// readers there are.
const READS_AT_ONCE: usize = 4;
/// Streams of one key at once.
const OF_ONE_KEY: usize = 100;

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Resumes behind this item; empty where there is nothing to resume.
    pub id: String,
    /// `line` or `gap`.
    pub event: &'static str,
    /// JSON.
    pub data: serde_json::Value,
}

/// What a source has after its cursor.
#[derive(Debug, Default)]
pub struct Batch {
    /// In order.
    pub items: Vec<Item>,
    /// There is more to read at once.
    pub more: bool,
    /// Nothing will ever come behind these.
    pub ended: bool,
}

/// Something that is read piece by piece.
pub trait Source: Send + 'static {
    /// What comes after the cursor, at most `limit` items; moves the cursor behind them.
    fn read(
        &mut self,
        connection: &mut PgConnection,
        limit: usize,
    ) -> impl Future<Output = Answer<Batch>> + Send;
}

/// What all streams of the process share.
pub struct Streams {
    /// Changes whenever there may be something new.
    pub changes: watch::Sender<u64>,
    open: Gauge,
    /// Turns to read from the database.
    pub turns: Semaphore,
    by_key: Mutex<HashMap<ApiKeyId, usize>>,
    keys: Mutex<HashMap<ApiKeyId, (Instant, bool)>>,
}

impl Streams {
    /// No stream yet.
    pub fn new(metrics: &Metrics) -> Self {
        let open = Gauge::default();
        metrics.register(|registry| {
            registry.register("streams_open", "Streams of logs and events", open.clone());
        });
        Self {
            changes: watch::Sender::new(0),
            open,
            turns: Semaphore::new(READS_AT_ONCE),
            by_key: Mutex::default(),
            keys: Mutex::default(),
        }
    }

    /// Counts a stream of a key, until it is closed.
    ///
    /// # Errors
    /// 429 where the key has as many open as it may.
    pub fn open(&self, key: ApiKeyId) -> Answer<()> {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_key.entry(key).or_default();
        if *count >= OF_ONE_KEY {
            let text = format!("This key has {OF_ONE_KEY} streams open: close one first.");
            return Err(Problem::new(Code::RateLimited).detail(text).into());
        }
        *count += 1;
        self.open.inc();
        Ok(())
    }

    /// A stream of a key has ended.
    pub fn close(&self, key: ApiKeyId) {
        self.open.dec();
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_key.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                by_key.remove(&key);
            }
        }
    }

    /// Whether the key still holds: asked once a second, however many streams it has.
    pub async fn key_holds(&self, connection: &mut PgConnection, key: ApiKeyId) -> Answer<bool> {
        let fresh = |at: Instant| at.elapsed() < KEY_FRESH;
        let known = self.lock().get(&key).copied();
        if let Some((at, holds)) = known
            && fresh(at)
        {
            return Ok(holds);
        }
        let holds = api_keys::is_active(connection, key).await?;
        let mut keys = self.lock();
        keys.retain(|_, (at, _)| fresh(*at));
        keys.insert(key, (Instant::now(), holds));
        Ok(holds)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ApiKeyId, (Instant, bool)>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
