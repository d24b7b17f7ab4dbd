//! From a source to a client: reads while there is more, waits for signals, ends in time.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt as _};
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use zeitwork_model::id::ApiKeyId;

use super::{Batch, Item, Source};
use crate::error::Answer;
use crate::extract::Who;
use crate::state::App;

/// Items that wait for one reader.
const BUFFER: usize = 100;
/// Items that are read from the database at once.
const BATCH: usize = 500;
/// Longest time without a look: signals may be lost.
const PERIOD: Duration = Duration::from_secs(1);
/// Signals that come close together are one: a busy log wakes all streams many times a second.
const SETTLE: Duration = Duration::from_millis(50);
/// A reader who takes nothing for so long is slow.
const SLOW: Duration = Duration::from_secs(5);
/// While a reader is waited for, the key is looked at so often.
const WAIT: Duration = Duration::from_millis(500);
/// Comments in between, so that proxies keep the connection and a lost reader is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Nothing will ever come.
    Finished,
    /// The reader did not keep up.
    Slow,
    /// The key does not hold any more: what waits is not delivered.
    Revoked,
    /// The api stops; the reader comes back with its cursor.
    Stopping,
    /// The reader has gone.
    Gone,
}

/// Answers with the stream.
///
/// # Errors
/// 429 where the key has as many open as it may.
pub fn respond(app: &App, who: &Who, source: impl Source) -> Answer<Response> {
    app.streams.open(who.key)?;
    let (sender, receiver) = mpsc::channel(BUFFER);
    let (end, ended) = oneshot::channel();
    let (revoke, revoked) = oneshot::channel::<()>();
    let pump = Pump { app: app.clone(), key: who.key, sender };
    app.life.spawn_detached("stream", async move {
        let ending = pump.run(source).await;
        pump.app.streams.close(pump.key);
        // The reader may have gone first; then nobody is left to tell.
        let _ = end.send(ending);
        if ending == Ending::Revoked {
            let _ = revoke.send(());
        }
    });
    let items = stream::unfold(receiver, |mut receiver| async {
        let item = receiver.recv().await?;
        Some((event_of(item), receiver))
    });
    let cut = async move {
        if revoked.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let last = stream::once(ended).filter_map(|ending| async { last_event(ending.ok()?) });
    let events = items.take_until(Box::pin(cut)).chain(last).map(Ok::<_, Infallible>);
    let alive = KeepAlive::new().interval(HEARTBEAT);
    let mut response = Sse::new(events).keep_alive(alive).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn event_of(item: Item) -> Event {
    // JSON text has no line ends of its own, and ids are ours.
    Event::default().id(item.id).event(item.event).data(item.data.to_string())
}

fn last_event(ending: Ending) -> Option<Event> {
    let (event, reason) = match ending {
        Ending::Finished => ("end", "finished"),
        Ending::Revoked => ("end", "key_revoked"),
        Ending::Slow => ("slow", "the reader did not keep up: resume with the last id"),
        Ending::Stopping | Ending::Gone => return None,
    };
    Some(Event::default().event(event).data(json!({ "reason": reason }).to_string()))
}

struct Pump {
    app: App,
    key: ApiKeyId,
    sender: mpsc::Sender<Item>,
}

impl Pump {
    async fn run(&self, mut source: impl Source) -> Ending {
        let mut changes = self.app.streams.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let read = tokio::select! {
                () = self.app.life.stopping() => return Ending::Stopping,
                () = self.sender.closed() => return Ending::Gone,
                read = self.read(&mut source) => read,
            };
            let batch = match read {
                Ok(Some(batch)) => batch,
                Ok(None) => return Ending::Revoked,
                // The database is away: the reader keeps its place until it is back.
                Err(_) => Batch::default(),
            };
            for item in batch.items {
                if let Some(ending) = self.send(item).await {
                    return ending;
                }
            }
            if batch.ended {
                return Ending::Finished;
            }
            if batch.more {
                continue;
            }
            tokio::select! {
                () = self.app.life.stopping() => return Ending::Stopping,
                () = self.sender.closed() => return Ending::Gone,
                () = tokio::time::sleep(PERIOD) => {}
                _ = changes.changed() => tokio::time::sleep(SETTLE).await,
            }
        }
    }

    /// What is new; none where the key does not hold any more.
    async fn read(&self, source: &mut impl Source) -> Answer<Option<Batch>> {
        let _turn = self.app.streams.turns.acquire().await;
        let mut connection = self.app.database.acquire().await?;
        if !self.app.streams.key_holds(&mut connection, self.key).await? {
            return Ok(None);
        }
        source.read(&mut connection, BATCH).await.map(Some)
    }

    /// Hands an item to the reader; why the stream ends where that cannot be.
    async fn send(&self, item: Item) -> Option<Ending> {
        let began = Instant::now();
        loop {
            let permit = tokio::select! {
                () = self.app.life.stopping() => return Some(Ending::Stopping),
                permit = tokio::time::timeout(WAIT, self.sender.reserve()) => permit,
            };
            match permit {
                Ok(Ok(permit)) => {
                    permit.send(item);
                    return None;
                }
                Ok(Err(_)) => return Some(Ending::Gone),
                Err(_) if began.elapsed() >= SLOW => return Some(Ending::Slow),
                Err(_) if self.is_revoked().await => return Some(Ending::Revoked),
                Err(_) => {}
            }
        }
    }

    async fn is_revoked(&self) -> bool {
        let Ok(mut connection) = self.app.database.acquire().await else { return false };
        let holds = self.app.streams.key_holds(&mut connection, self.key).await;
        holds.is_ok_and(|holds| !holds)
    }
}
