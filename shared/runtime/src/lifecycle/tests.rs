use std::time::Duration;

use tokio::sync::oneshot;

use super::*;

fn boom() {
    panic!("boom")
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_soft_stop_lets_work_in_flight_finish() {
    let life = Lifecycle::new();
    let (finish, finished) = oneshot::channel::<()>();
    let (done, was_done) = oneshot::channel();
    life.spawn("work", async move {
        let _ = finished.await;
        let _ = done.send(());
    });
    let drain = futures::future::join(life.drain(LONG), async {
        life.stop();
        life.stopping().await;
        finish.send(()).unwrap();
    });
    assert_eq!(drain.await.0, Ok(()));
    was_done.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_deadline_drops_what_is_left_and_says_so() {
    let life = Lifecycle::new();
    life.spawn("stuck", std::future::pending::<()>());
    life.stop();
    let error = life.drain(LONG).await.unwrap_err();
    assert_eq!(error, LifecycleError::DrainTimedOut { left: 1, deadline: LONG });
}

#[tokio::test]
async fn the_second_signal_stops_hard_at_once() {
    let life = Lifecycle::new();
    life.spawn("stuck", std::future::pending::<()>());
    life.signalled();
    assert!(life.is_stopping());
    life.signalled();
    assert_eq!(life.drain(LONG).await, Ok(()));
}

#[tokio::test]
async fn a_panic_in_a_task_stops_the_daemon_with_its_message() {
    let life = Lifecycle::new();
    life.spawn("rollouts", async { boom() });
    let error = life.drain(LONG).await.unwrap_err();
    assert_eq!(error.to_string(), "task rollouts failed: panicked: boom");
}

#[tokio::test]
async fn an_error_of_a_task_stops_the_daemon_with_its_chain() {
    #[derive(Debug, thiserror::Error)]
    #[error("listener lost")]
    struct Lost(#[source] std::io::Error);
    let life = Lifecycle::new();
    life.spawn("listen", async { Err(Lost(std::io::Error::other("socket closed"))) });
    let error = life.drain(LONG).await.unwrap_err();
    assert_eq!(error.to_string(), "task listen failed: listener lost: socket closed");
}

#[tokio::test]
async fn a_panic_in_a_detached_task_concerns_nobody() {
    let life = Lifecycle::new();
    life.spawn_detached("connection", async { boom() });
    life.stop();
    assert_eq!(life.drain(LONG).await, Ok(()));
}
