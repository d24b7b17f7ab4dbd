//! What handlers share.

use std::sync::Arc;

use tokio::sync::Semaphore;
use zeitwork_database::Database;
use zeitwork_runtime::Lifecycle;
use zeitwork_secrets::MasterKey;
use zeitwork_web::{Health, Metrics};

use crate::handlers::webhooks::LARGE_AT_ONCE;
use crate::inbox::Inbox;
use crate::limits::Attempts;
use crate::measure::Requests;
use crate::streams::Streams;
use crate::{Config, Parts};

/// Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// What is shared.
pub struct Shared {
    pub config: Config,
    pub database: Database,
    pub master_key: MasterKey,
    pub streams: Streams,
    pub requests: Requests,
    pub attempts: Attempts,
    pub inbox: Inbox,
    /// Room for large bodies of callers without a key.
    pub large_bodies: Semaphore,
    pub health: Health,
    pub metrics: Metrics,
    pub life: Lifecycle,
}

impl std::ops::Deref for App {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// Puts the parts together; nothing is connected yet.
    pub fn new(config: Config, parts: Parts, life: &Lifecycle) -> Self {
        let metrics = Metrics::new();
        let inbox = Inbox::new(&parts.database, life);
        let app = Self(Arc::new(Shared {
            config,
            database: parts.database,
            master_key: parts.master_key,
            streams: Streams::new(&metrics),
            requests: Requests::new(&metrics),
            attempts: Attempts::default(),
            inbox,
            large_bodies: Semaphore::new(LARGE_AT_ONCE),
            health: Health::new(),
            metrics,
            life: life.clone(),
        }));
        crate::handlers::health::register(&app);
        app
    }
}
