//! GitHub: git over HTTP, the REST calls of an App, and signed webhooks on each push.
//!
//! Laid out as GitHub Enterprise Server: git at the root, REST under `/api/v3` (and at the root
//! as on api.github.com). On loopback only, with a random port, push token and webhook secret
//! at each start. Numbers, repositories and the App's key are kept in the state directory.

mod api;
mod app_token;
mod git;
mod hook;
mod key;
mod push;
mod repository;
mod shape;
mod transport;
mod working_copy;
mod world;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use api::Fault;
pub use git::GitError;
pub use hook::{ContentType, Delivery, Event};
pub use repository::Repository;
pub use working_copy::WorkingCopy;
pub use world::Status;

use crate::{http, random, world_clock};
use hook::Hook;
use world::World;

/// What can go wrong in the stand-in itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Files, sockets or processes.
    #[error("the system said no")]
    System(#[from] std::io::Error),
    /// Git said no.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The receiver of a webhook does not answer.
    #[error("no answer to a webhook")]
    Http(#[from] http::HttpError),
    /// Only `http://` on this host: a stand-in never calls out.
    #[error("the webhook URL {0:?} is not of the form http://host:port/path")]
    WebhookUrl(String),
    /// A name that GitHub would not take, or that nobody has.
    #[error("{0:?} is no repository of the form owner/name here")]
    Repository(String),
    /// An event without its repository or its headers.
    #[error("the event cannot be told")]
    Event,
    /// What was waited for did not come.
    #[error("{wanted} deliveries did not come in time, but {seen}")]
    TimedOut {
        /// How many were waited for.
        wanted: usize,
        /// How many there were.
        seen: usize,
    },
}

/// A delivery's headers, in GitHub's order.
pub type Headers = Vec<(&'static str, String)>;

/// How to start.
#[derive(Debug, Default)]
pub struct Options {
    /// Where to keep what survives; absent: a directory that goes with the stand-in.
    pub state: Option<PathBuf>,
    /// Where webhooks go; absent: nowhere until [`Github::set_webhook_url`].
    pub webhook_url: Option<String>,
    /// How payloads travel.
    pub content_type: ContentType,
}

/// What the parts of the stand-in share.
pub(crate) struct Shared {
    pub base_url: String,
    pub app_id: u64,
    pub key: key::AppKey,
    pub push_token: String,
    pub hook: Hook,
    pub faults: Mutex<Vec<Fault>>,
    /// The path of `git-http-backend`.
    pub backend: PathBuf,
    state: PathBuf,
    world: Mutex<World>,
    pushes: Mutex<HashMap<u64, Arc<tokio::sync::Mutex<()>>>>,
}

impl Shared {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn api_url(&self) -> String {
        format!("{}/api/v3", self.base_url)
    }

    /// Where all git directories lie.
    pub(crate) fn repositories(&self) -> PathBuf {
        self.state.join("repositories")
    }

    pub(crate) fn directory(&self, repository: u64) -> PathBuf {
        self.repositories().join(format!("{repository}.git"))
    }

    pub(crate) fn push_turn(&self, repository: u64) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.pushes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(repository).or_default())
    }

    /// Delivers the event on its own time, unless deliveries are held.
    pub(crate) fn emit(self: &Arc<Self>, event: Event) {
        if self.hook.record(&event) {
            let shared = Arc::clone(self);
            world_clock::spawn(async move { shared.hook.deliver(&event, false).await });
        }
    }
}

/// A running stand-in; dropped, it is gone with its port.
pub struct Github {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
    /// Removed with the stand-in.
    _directory: Option<TempDir>,
}

impl Drop for Github {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Github {
    /// Starts on a free loopback port.
    ///
    /// # Errors
    /// When files, the port or git are not to be had.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let (state, directory) = if let Some(state) = options.state {
            (state, None)
        } else {
            let directory = tempfile::tempdir()?;
            (directory.path().to_owned(), Some(directory))
        };
        std::fs::create_dir_all(state.join("repositories"))?;
        let state = state.canonicalize()?;
        let world = World::open(&state)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let secret = random::hex::<32>()?;
        let shared = Arc::new(Shared {
            base_url: format!("http://{address}"),
            app_id: world.app_id,
            key: key::AppKey::open(&state)?,
            push_token: format!("ghp_{}", random::hex::<18>()?),
            hook: Hook::new(world.app_id, secret, options.webhook_url, options.content_type),
            faults: Mutex::default(),
            backend: git::exec_path().await?.join("git-http-backend"),
            state,
            world: Mutex::new(world),
            pushes: Mutex::default(),
        });
        let router = api::router(&shared).merge(transport::router()).with_state(shared.clone());
        let server = world_clock::spawn(async move {
            // It ends only by being dropped; an accept error is retried by axum.
            let _ended = axum::serve(listener, router).await;
        });
        Ok(Self { address, shared, server, _directory: directory })
    }

    /// For `ZEITWORK_GITHUB_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.base_url
    }

    /// For `ZEITWORK_GITHUB_API_URL`.
    #[must_use]
    pub fn api_url(&self) -> String {
        self.shared.api_url()
    }

    /// For `ZEITWORK_GITHUB_APP_ID`.
    #[must_use]
    pub fn app_id(&self) -> u64 {
        self.shared.app_id
    }

    /// For `ZEITWORK_GITHUB_PRIVATE_KEY_FILE`.
    #[must_use]
    pub fn private_key_file(&self) -> &Path {
        &self.shared.key.private_path
    }

    /// For `ZEITWORK_GITHUB_WEBHOOK_SECRET`.
    #[must_use]
    pub fn webhook_secret(&self) -> &str {
        &self.shared.hook.secret
    }

    /// The password of whoever pushes, with any user name.
    #[must_use]
    pub fn push_token(&self) -> &str {
        &self.shared.push_token
    }

    /// From now on webhooks go there.
    pub fn set_webhook_url(&self, url: &str) {
        self.shared.hook.set_url(Some(url.to_owned()));
    }

    /// A private repository, made if nobody has it, with a working copy of the test's own.
    ///
    /// # Errors
    /// When the name is no `owner/name`, or git says no.
    pub async fn repository(&self, full_name: &str) -> Result<Repository, Error> {
        Repository::open(&self.shared, full_name, true).await
    }

    /// As [`Github::repository`], but everybody may read it.
    ///
    /// # Errors
    /// As [`Github::repository`].
    pub async fn public_repository(&self, full_name: &str) -> Result<Repository, Error> {
        Repository::open(&self.shared, full_name, false).await
    }

    /// Every attempt so far, oldest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.hook.attempts()
    }

    /// Everything that happened so far, delivered or not, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.shared.hook.events()
    }

    /// Waits until there were that many attempts in all.
    ///
    /// # Errors
    /// After 30 s.
    pub async fn wait_for_deliveries(&self, wanted: usize) -> Result<Vec<Delivery>, Error> {
        let mut count = self.shared.hook.watch();
        let reached = count.wait_for(|&count| count >= wanted);
        if tokio::time::timeout(Duration::from_secs(30), reached).await.is_err() {
            return Err(Error::TimedOut { wanted, seen: self.deliveries().len() });
        }
        Ok(self.deliveries())
    }

    /// From now on events are kept back until [`Github::release_deliveries`].
    pub fn hold_deliveries(&self) {
        self.shared.hook.hold();
    }

    /// What is kept back, oldest first; [`Github::deliver`] sends any of it in any order.
    #[must_use]
    pub fn held_deliveries(&self) -> Vec<Event> {
        self.shared.hook.held()
    }

    /// Ends the holding and drops what is kept back: lost, as GitHub may lose it.
    #[must_use]
    pub fn lose_deliveries(&self) -> Vec<Event> {
        self.shared.hook.end_hold()
    }

    /// Ends the holding and delivers what was kept back, in order, one after the other.
    pub async fn release_deliveries(&self) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for event in self.shared.hook.end_hold() {
            deliveries.extend(self.shared.hook.deliver(&event, false).await);
        }
        deliveries
    }

    /// One attempt for the event, now; repeated, it is a duplicate with the same GUID.
    pub async fn deliver(&self, event: &Event) -> Option<Delivery> {
        self.shared.hook.deliver(event, false).await
    }

    /// Delivers an event of the test's own making, well signed.
    ///
    /// # Errors
    /// Without random bytes.
    pub async fn deliver_new(
        &self,
        name: &str,
        payload: serde_json::Value,
    ) -> Result<Option<Delivery>, Error> {
        let event = Event::new(name, payload)?;
        self.shared.hook.record(&event);
        Ok(self.deliver(&event).await)
    }

    /// The headers and the body with which the event would be delivered, for a test that sends
    /// (and mangles) it itself.
    ///
    /// # Errors
    /// When the payload cannot be written.
    pub fn signed(&self, event: &Event) -> Result<(Headers, bytes::Bytes), Error> {
        let body = self.shared.hook.body(event)?;
        Ok((self.shared.hook.headers(event, &body), body))
    }

    /// The commit statuses that were posted, oldest first.
    #[must_use]
    pub fn statuses(&self) -> Vec<Status> {
        self.shared.world().statuses.clone()
    }

    /// The next REST calls meet these faults, one each, in order.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut queue = self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
        queue.extend(faults);
    }

    /// Forgets the faults that no call has met yet.
    pub fn mend(&self) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Suspends the installation in the account, or ends that; the App is told.
    ///
    /// # Errors
    /// When nobody has the account.
    pub fn suspend_installation(&self, login: &str, suspended: bool) -> Result<(), Error> {
        let now = world_clock::now().unix_timestamp();
        let mut world = self.shared.world();
        let account = world.accounts.iter_mut().find(|account| account.login == login);
        let account = account.ok_or_else(|| Error::Repository(login.to_owned()))?;
        account.suspended_at = suspended.then_some(now);
        let payload = serde_json::json!({
            "action": if suspended { "suspend" } else { "unsuspend" },
            "installation": shape::installation(&self.shared, account),
            "sender": shape::user(&self.shared, shape::PUSHER, shape::PUSHER_ID, "User"),
        });
        world.save()?;
        drop(world);
        self.shared.emit(Event::new("installation", payload)?);
        Ok(())
    }

    /// Every token that was given out is worth nothing from now on.
    pub fn revoke_tokens(&self) {
        self.shared.world().tokens.clear();
    }

    pub(crate) async fn ensure_repository(&self, full_name: &str) -> Result<u64, Error> {
        repository::ensure(&self.shared, full_name, true).await
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

#[cfg(test)]
mod tests;
