//! Start and stop of a daemon, and the only place where tasks are spawned.
//!
//! ```text
//! running ──SIGTERM, SIGINT, stop(), a failed task──► stopping (drain) ──deadline, second signal──► stopped hard
//! ```
//! *Stopping* asks: take no new work, finish what is in flight. *Hard* drops every task that is
//! left. A task that panics or fails stops the daemon, because a daemon without one of its loops
//! would look alive and be dead.

use std::any::Any;
use std::error::Error;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

#[cfg(test)]
mod tests;

/// How a daemon ended when it did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LifecycleError {
    /// A task that must not end did.
    #[error("task {task} failed: {reason}")]
    TaskFailed {
        /// The name that was given to `spawn`.
        task: String,
        /// The chain of errors, or the panic's message.
        reason: String,
    },
    /// What was in flight did not finish in time and was dropped.
    #[error("{left} tasks had not finished after {deadline:?} and were dropped")]
    DrainTimedOut {
        /// Tasks dropped.
        left: usize,
        /// The time that they had.
        deadline: Duration,
    },
}

/// What a spawned task may end with: nothing, or a `Result` whose error stops the daemon.
pub trait Outcome: Send + 'static {
    /// The reason to stop the daemon, if it is one.
    fn failure(self) -> Option<String>;
}

impl Outcome for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>> + Send + 'static> Outcome for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| chain(error.into().as_ref()))
    }
}

/// An error with all its sources, as one line.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// The handle that every part of a daemon shares; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    failure: Mutex<Option<LifecycleError>>,
}

impl Lifecycle {
    /// A running life without signal handlers (tests; `main` adds them).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on the first SIGTERM or SIGINT stops softly, the second hard.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn install_signal_handlers(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let life = self.clone();
        // Not tracked: it waits for ever, and the drain must not wait for it.
        spawn(async move {
            for _ in 0..2 {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                life.signalled();
            }
        });
        Ok(())
    }

    fn signalled(&self) {
        if self.is_stopping() {
            tracing::warn!("second signal: dropping what is in flight");
            self.stop_now();
        } else {
            tracing::info!("signal received: draining");
            self.stop();
        }
    }

    /// Runs a part of the daemon until it ends or the hard stop drops it. If it panics or
    /// returns an error, the whole daemon stops and [`Lifecycle::drain`] returns that.
    pub fn spawn<F>(&self, name: impl Into<String>, future: F) -> AbortHandle
    where
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        let name = name.into();
        let span = tracing::info_span!("task", task.name = %name);
        let life = self.clone();
        self.track(
            async move {
                match AssertUnwindSafe(future).catch_unwind().await.map(Outcome::failure) {
                    Ok(None) => {}
                    Ok(Some(reason)) => life.fail(&name, reason),
                    Err(panic) => life.fail(&name, panic_message(panic.as_ref())),
                }
            }
            .instrument(span),
        )
    }

    /// Runs work whose failure concerns nobody else (a connection): a panic or an error is
    /// logged. The drain waits for it, the hard stop drops it.
    pub fn spawn_detached<F>(&self, name: &'static str, future: F) -> AbortHandle
    where
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        self.track(async move {
            match AssertUnwindSafe(future).catch_unwind().await.map(Outcome::failure) {
                Ok(None) => {}
                Ok(Some(reason)) => tracing::warn!(task.name = name, error = reason, "task failed"),
                Err(panic) => {
                    let reason = panic_message(panic.as_ref());
                    tracing::error!(task.name = name, error = reason, "task panicked");
                }
            }
        })
    }

    fn track(&self, future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let hard = self.0.hard.clone();
        spawn(self.0.tasks.track_future(async move {
            tokio::select! {
                biased;
                () = hard.cancelled() => {}
                () = future => {}
            }
        }))
    }

    /// Records why the daemon cannot go on, and stops it softly. The first reason is kept.
    pub fn fail(&self, task: &str, reason: String) {
        tracing::error!(task.name = task, error = reason, "task failed, stopping");
        self.0
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(LifecycleError::TaskFailed { task: task.to_owned(), reason });
        self.stop();
    }

    /// Asks everyone to take no new work and finish.
    pub fn stop(&self) {
        self.0.soft.cancel();
    }

    /// Drops every task at its next await.
    pub fn stop_now(&self) {
        self.0.soft.cancel();
        self.0.hard.cancel();
    }

    /// Resolves when the daemon begins to stop.
    pub async fn stopping(&self) {
        self.0.soft.cancelled().await;
    }

    /// Resolves when what is left is to be dropped.
    pub async fn stopped_hard(&self) {
        self.0.hard.cancelled().await;
    }

    /// Has the stop begun?
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.soft.is_cancelled()
    }

    /// Waits for the stop, then for the tasks, at most `deadline`; drops what is left then.
    /// A `main` ends with this.
    ///
    /// # Errors
    /// The first task that failed, else the tasks that had to be dropped at the deadline.
    pub async fn drain(&self, deadline: Duration) -> Result<(), LifecycleError> {
        self.stopping().await;
        self.0.tasks.close();
        let in_time = tokio::select! {
            () = self.0.tasks.wait() => true,
            () = self.stopped_hard() => true,
            () = tokio::time::sleep(deadline) => false,
        };
        let left = self.0.tasks.len();
        self.0.hard.cancel();
        self.0.tasks.wait().await;
        let failure = self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match failure {
            Some(failure) => Err(failure),
            None if in_time => Ok(()),
            None => Err(LifecycleError::DrainTimedOut { left, deadline }),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place where tasks are spawned")]
fn spawn(future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    tokio::spawn(future).abort_handle()
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("no message"))
}
