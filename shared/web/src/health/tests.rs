use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn one_required_failure_is_not_ready_and_each_is_shown() {
    let health = Health::new();
    health.require("database", || async { CheckOutcome::failed("connection refused") });
    health.show("redis", || async { CheckOutcome::ok("not configured") });
    let readiness = health.readiness().await;
    assert!(!readiness.ready);
    assert_eq!(readiness.checks["database"].detail, "connection refused");
    assert!(readiness.checks["redis"].ok);
}

#[tokio::test]
async fn what_is_only_shown_does_not_hinder() {
    let health = Health::new();
    health.show("redis", || async { CheckOutcome::failed("away") });
    assert!(health.readiness().await.ready);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_has_failed() {
    let health = Health::new();
    health.require("engine", std::future::pending);
    let readiness = health.readiness().await;
    assert_eq!(readiness.checks["engine"].detail, "no answer within 2 s");
}

#[tokio::test]
async fn many_probes_at_once_are_one_check() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let health = Health::new();
    health.require("database", move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { CheckOutcome::ok("answers") }
    });
    let (a, b) = tokio::join!(health.readiness(), health.readiness());
    assert!(a.ready && b.ready);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}
