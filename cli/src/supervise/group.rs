//! Tasks that end together.

use std::future::Future;

use tokio::sync::watch;
use tokio::task::JoinSet;

/// Said once to every task of a group: stop what you keep, then return.
pub type Stop = watch::Receiver<bool>;

/// Tasks, and how they are told to stop.
#[derive(Debug)]
pub struct Group {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Group {
    /// Empty.
    pub fn new() -> Self {
        Self { stop: watch::channel(false).0, tasks: JoinSet::new() }
    }

    /// Starts one more task.
    pub fn spawn<F>(&mut self, task: impl FnOnce(Stop) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task(self.stop.subscribe()));
    }

    /// Tells all tasks, and waits for them.
    pub async fn stop(&mut self) {
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Returns once the group shall stop (or nobody is left to say so).
pub async fn told(stop: &mut Stop) {
    // The guard of the value must not live across an await.
    let _ = stop.wait_for(|stop| *stop).await.map(|_| ());
}
