//! Waiting for facts.

use std::future::Future;
use std::time::{Duration, Instant};

/// Asks again and again until there is an answer; fails with the last thing that was seen.
///
/// # Panics
/// When the limit is over.
pub async fn eventually<T, F, Q>(what: &str, limit: Duration, mut ask: Q) -> T
where
    Q: FnMut() -> F,
    F: Future<Output = Result<T, String>>,
{
    const PAUSE: Duration = Duration::from_millis(25);
    let deadline = Instant::now() + limit;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(seen) if Instant::now() > deadline => {
                panic!("{what}: not within {limit:?}; last seen: {seen}")
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
