//! The owner's key where it was given to the api itself (`ZEITWORK_OWNER_KEY`). A key that is
//! made is the business of `zeitwork up`, which alone knows where to put it.

use std::time::Duration;

use zeitwork_auth::ApiKey;
use zeitwork_database::owner::{self, Ensured};
use zeitwork_database::{Database, Error, migrate};
use zeitwork_runtime::Lifecycle;
use zeitwork_runtime::lifecycle::chain;

use crate::state::App;

/// Pause before the database is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// Makes sure that a given key works, as soon as the database answers.
pub fn ensure_in_background(app: &App, life: &Lifecycle) {
    let Some(key) = app.config.owner_key.clone() else { return };
    let (database, stopping) = (app.database.clone(), life.clone());
    life.spawn("owner", async move {
        loop {
            match ensure(&database, &key).await {
                Ok(Ensured::Holds) => return,
                Ok(refused) => return tracing::error!("{}", sentence(refused)),
                Err(error) => {
                    tracing::warn!(error = chain(&error), "the owner's key is not there yet");
                }
            }
            tokio::select! {
                () = stopping.stopping() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    });
}

/// What is wrong with a key that does not hold, and what to do.
const fn sentence(refused: Ensured) -> &'static str {
    match refused {
        Ensured::Holds => "the owner's key holds",
        Ensured::Revoked => {
            "the owner's key was revoked: `zeitwork owner reset` makes another, or set \
             ZEITWORK_OWNER_KEY to a new one"
        }
        Ensured::Taken => {
            "the owner's key is that of somebody else: set ZEITWORK_OWNER_KEY to another"
        }
    }
}

async fn ensure(database: &Database, key: &ApiKey) -> Result<Ensured, Error> {
    migrate::check(database).await?;
    let mut transaction = database.begin().await?;
    let ensured = owner::ensure(&mut transaction, key.prefix(), &key.hash()).await?;
    transaction.commit().await?;
    Ok(ensured)
}
