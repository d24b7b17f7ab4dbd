use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::*;

/// Reports each pass on a channel and answers what it was told to.
struct Probe {
    passes: mpsc::UnboundedSender<Instant>,
    failing: Arc<AtomicU64>,
    changed: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the database is away")]
struct Away;

impl Reconciler for Probe {
    const NAME: &'static str = "probes";
    type Error = Away;

    async fn pass(&mut self) -> Result<PassReport, Away> {
        let _ = self.passes.send(Instant::now());
        match self.failing.load(Ordering::SeqCst) {
            0 => Ok(PassReport { seen: 3, changed: self.changed, ..PassReport::default() }),
            u64::MAX => std::future::pending().await,
            666 => panic!("boom"),
            left => {
                self.failing.store(left - 1, Ordering::SeqCst);
                Err(Away)
            }
        }
    }
}

struct World {
    life: Lifecycle,
    all: Reconcilers,
    wake: Wake,
    passes: mpsc::UnboundedReceiver<Instant>,
    failing: Arc<AtomicU64>,
}

const HOUR: Duration = Duration::from_hours(1);

fn start(period: Duration, failing: u64, changed: u64) -> World {
    let (life, all) = (Lifecycle::new(), Reconcilers::new(Clock::system()));
    let (sender, passes) = mpsc::unbounded_channel();
    let failing = Arc::new(AtomicU64::new(failing));
    let probe = Probe { passes: sender, failing: failing.clone(), changed };
    let wake = all.spawn(&life, probe, Schedule::every(period));
    World { life, all, wake, passes, failing }
}

/// Lets the loop go on until the status is as wanted (time is paused, so this costs nothing).
async fn until(all: &Reconcilers, wanted: impl Fn(&ReconcilerStatus) -> bool) -> ReconcilerStatus {
    loop {
        let status = all.statuses().remove(0);
        if wanted(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn it_runs_at_once_and_then_on_its_period() {
    let mut world = start(Duration::from_secs(5), 0, 1);
    let first = world.passes.recv().await.unwrap();
    let second = world.passes.recv().await.unwrap();
    assert_eq!((second - first).as_secs(), 5);
    let status = until(&world.all, |status| status.passes_total == 2).await;
    assert_eq!(status.drift_found_total, 1, "only the sweep counts as drift: {status:?}");
    assert_eq!(status.last_pass.unwrap().seen, 3);
}

#[tokio::test(start_paused = true)]
async fn a_signal_wakes_it_and_many_signals_are_one_pass() {
    let mut world = start(HOUR, 0, 1);
    let first = world.passes.recv().await.unwrap();
    (0..100).for_each(|_| world.wake.wake());
    let second = world.passes.recv().await.unwrap();
    assert!(second - first < Duration::from_millis(20));
    let third = world.passes.recv().await.unwrap();
    assert!(third - second > HOUR / 2, "the hundred signals made one pass");
    let status = until(&world.all, |status| status.passes_total == 3).await;
    assert_eq!(status.drift_found_total, 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_a_pass_knows_of_comes_sooner_and_is_no_drift() {
    struct Waiting;
    impl Reconciler for Waiting {
        const NAME: &'static str = "waiting";
        type Error = Away;
        async fn pass(&mut self) -> Result<PassReport, Away> {
            let again_after = Some(Duration::from_secs(1));
            Ok(PassReport { changed: 1, again_after, ..PassReport::default() })
        }
    }
    let (life, all) = (Lifecycle::new(), Reconcilers::new(Clock::system()));
    let began = Instant::now();
    all.spawn(&life, Waiting, Schedule::every(HOUR));
    let status = until(&all, |status| status.passes_total == 3).await;
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!((status.changed_total, status.drift_found_total), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_are_counted_and_recover() {
    let mut world = start(HOUR, 3, 0);
    let first = world.passes.recv().await.unwrap();
    let status = until(&world.all, |status| status.passes_total == 1).await;
    assert_eq!((status.failures_total, status.failures_in_a_row), (3, 0));
    assert_eq!(status.last_error.as_deref(), Some("the database is away"));
    assert!(first.elapsed() < Duration::from_secs(1), "ceilings of 100, 200 and 400 ms");
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_hangs_is_dropped_and_a_panic_is_a_failed_pass() {
    let world = start(HOUR, u64::MAX, 0);
    let status = until(&world.all, |status| status.failures_total == 1).await;
    assert_eq!(status.last_error.as_deref(), Some("took longer than 30000 ms"));
    world.failing.store(666, Ordering::SeqCst);
    // The pass that began before the change may still hang once.
    let boom = |status: &ReconcilerStatus| status.last_error.as_deref() == Some("panicked: boom");
    until(&world.all, boom).await;
    world.failing.store(0, Ordering::SeqCst);
    until(&world.all, |status| status.passes_total == 1).await;
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_daemon() {
    let mut world = start(HOUR, 0, 0);
    world.passes.recv().await.unwrap();
    world.life.stop();
    assert_eq!(world.life.drain(Duration::from_secs(1)).await, Ok(()));
}
