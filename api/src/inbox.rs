//! Where deliveries wait to be stored: one statement writes all that came while the one before
//! was written.
//!
//! A commit with a signal takes a lock of the whole server until it is on disk, so commits of
//! single deliveries would queue up behind each other's disk writes. Nobody is answered before
//! the own row is committed.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedMutexGuard, oneshot};
use zeitwork_database::webhook_deliveries::{self, NewDelivery};
use zeitwork_database::{Database, Error};
use zeitwork_runtime::Lifecycle;
use zeitwork_web::Code;

use crate::error::{Answer, Refusal};

#[cfg(test)]
mod tests;

/// Deliveries that wait at most; whoever comes then is told to come back.
const WAITING_MAXIMUM: usize = 1_000;
/// Deliveries of one statement.
const BATCH: usize = 100;
/// Octets of payloads after which a statement takes no more.
const BATCH_OCTETS: usize = 4 * 1024 * 1024;

/// Takes deliveries in.
pub struct Inbox {
    database: Database,
    life: Lifecycle,
    waiting: Mutex<Vec<Waiting>>,
    /// Held by whoever writes.
    pen: Arc<tokio::sync::Mutex<()>>,
}

struct Waiting {
    delivery: NewDelivery,
    stored: oneshot::Sender<Answer<bool>>,
}

impl Inbox {
    /// Empty.
    pub fn new(database: &Database, life: &Lifecycle) -> Self {
        let (database, life) = (database.clone(), life.clone());
        Self { database, life, waiting: Mutex::default(), pen: Arc::default() }
    }

    /// Stores a delivery; whether it was new.
    ///
    /// # Errors
    /// That it is not known to be stored: the sender has to come again.
    pub async fn store(&self, delivery: NewDelivery) -> Answer<bool> {
        let (stored, mut answer) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= WAITING_MAXIMUM {
                return Err(Code::Unavailable.into());
            }
            waiting.push(Waiting { delivery, stored });
        }
        loop {
            tokio::select! {
                biased;
                answered = &mut answer => {
                    return answered.unwrap_or_else(|_| Err(Code::Unavailable.into()));
                }
                // What is written now may be full before ours: then it is our turn again.
                pen = self.pen.clone().lock_owned() => self.write(pen),
            }
        }
    }

    /// Writes what waits, in a task of its own: whoever began it may be gone before its end.
    fn write(&self, pen: OwnedMutexGuard<()>) {
        let batch = self.next_batch();
        if batch.is_empty() {
            return;
        }
        let database = self.database.clone();
        self.life.spawn_detached("deliveries", async move {
            write(&database, batch).await;
            drop(pen);
        });
    }

    fn next_batch(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut octets = 0;
        let fits = waiting.iter().take_while(|one| {
            let first = octets == 0;
            octets += one.delivery.payload.len();
            first || octets <= BATCH_OCTETS
        });
        let count = fits.take(BATCH).count();
        let rest = waiting.split_off(count);
        mem::replace(&mut *waiting, rest)
    }
}

async fn write(database: &Database, batch: Vec<Waiting>) {
    let (deliveries, waiting): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|one| (one.delivery, one.stored)).unzip();
    match insert(database, &deliveries).await {
        Ok(new) => {
            for (delivery, stored) in deliveries.iter().zip(waiting) {
                // Whoever asked may have gone; the delivery is stored all the same.
                let _ = stored.send(Ok(new.contains(&delivery.id)));
            }
        }
        Err(error) if deliveries.len() == 1 || error.is_transient() => {
            let refusal = Refusal::from(error);
            for stored in waiting {
                let _ = stored.send(Err(refusal.clone()));
            }
        }
        // One that cannot be stored must not take the others with it.
        Err(_) => {
            for (delivery, stored) in deliveries.into_iter().zip(waiting) {
                let id = delivery.id;
                let new = insert(database, &[delivery]).await;
                let _ = stored.send(new.map(|new| new.contains(&id)).map_err(Refusal::from));
            }
        }
    }
}

/// One statement is a transaction: when it has returned, it is committed.
async fn insert(
    database: &Database,
    deliveries: &[NewDelivery],
) -> Result<Vec<zeitwork_model::id::DeliveryId>, Error> {
    let mut connection = database.acquire().await?;
    webhook_deliveries::insert(&mut connection, deliveries).await
}
