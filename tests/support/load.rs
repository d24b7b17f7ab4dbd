//! Visitors who come all the time and count what fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::http::Ask;

/// What the visitors saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Answers of the application.
    pub answered: u64,
    /// Connection errors, answers that are not 2xx, and answers slower than five seconds.
    pub failed: u64,
    /// The first failures.
    pub examples: Vec<String>,
}

/// Visitors of one host, each asking again as soon as it has its answer, but at most 50 times a
/// second.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    visitors: JoinSet<(u64, Vec<String>)>,
}

impl Load {
    /// Starts visitors; they take the edges in turn.
    #[must_use]
    pub fn start(edges: &[SocketAddr], host: &str, visitors: usize) -> Self {
        const PAUSE: Duration = Duration::from_millis(20);
        const EXAMPLES: usize = 5;
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for visitor in 0..visitors {
            let (stop, answered) = (stop.clone(), answered.clone());
            let (edge, host) = (edges[visitor % edges.len()], host.to_owned());
            tasks.spawn(async move {
                let (mut failed, mut examples) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    match Ask::get(&host, "/").send(edge).await {
                        Ok(answer) if answer.status.is_success() => {
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        other => {
                            failed += 1;
                            if examples.len() < EXAMPLES {
                                let seen = other.map(|a| format!("{} {}", a.status, a.text()));
                                examples.push(format!("{edge}: {seen:?}"));
                            }
                        }
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                (failed, examples)
            });
        }
        Self { stop, answered, visitors: tasks }
    }

    /// How many answers there have been.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Stops the visitors and says what they saw.
    ///
    /// # Panics
    /// Where a visitor panicked.
    pub async fn finish(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut seen = Seen { answered: 0, failed: 0, examples: Vec::new() };
        while let Some(visitor) = self.visitors.join_next().await {
            let (failed, examples) = visitor.unwrap();
            seen.failed += failed;
            seen.examples.extend(examples);
        }
        seen.answered = self.answered();
        seen
    }
}
