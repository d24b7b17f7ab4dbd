//! How builds end when they do not end well: reasons, limits, cancellation.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use zeitwork_node_agent::build::problem;
use zeitwork_protocol::report::BuildOutcome;

use super::world::{World, eventually, images, processes};

#[tokio::test]
async fn a_failing_step_is_named_with_its_exit_code() {
    let world = World::start().await;
    let target = world.push(&[("Dockerfile", "FROM busybox\nRUN echo no >&2; exit 3\n")]).await;
    let ended = world.build(&target).await;
    assert_eq!(ended.code(), "step_failed", "{}", ended.text());
    assert!(ended.reason().contains("exit code 3"), "{}", ended.reason());
    assert!(ended.reason().contains("RUN echo no"), "{}", ended.reason());
    assert!(matches!(ended.outcome, BuildOutcome::Failed { .. }));
}

#[tokio::test]
async fn each_broken_repository_has_its_reason() {
    let world = World::start().await;
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("dockerfile_missing", &[("docker.Dockerfile", "FROM busybox\n")]),
        ("dockerfile_invalid", &[("Dockerfile", "FORM busybox\n")]),
        ("file_not_found", &[("Dockerfile", "FROM busybox\nCOPY nothing.txt /\n")]),
        (
            "dockerfile_frontend_needed",
            &[(
                "Dockerfile",
                "# syntax=docker/dockerfile:1.4\nFROM busybox\nRUN <<EOF\necho a\nEOF\n",
            )],
        ),
        (
            "dockerfile_frontend_needed",
            &[("Dockerfile", "FROM busybox\nCOPY --link a /a\n"), ("a", "")],
        ),
    ];
    for (code, files) in cases {
        world.repository.copy.git(&["rm", "-rfq", "--ignore-unmatch", "."]).await.unwrap();
        let target = world.push(files).await;
        let ended = world.build(&target).await;
        assert_eq!(&ended.code(), code, "{:?}\n{}", ended.outcome, ended.text());
        assert!(matches!(ended.outcome, BuildOutcome::Failed { .. }));
    }
}

#[tokio::test]
async fn a_base_image_that_cannot_be_had_is_named() {
    let world = World::start().await;
    let target = world.push(&[("Dockerfile", "FROM nobody.invalid/none:1\n")]).await;
    let ended = world.build(&target).await;
    assert_eq!(ended.code(), "registry_unreachable", "{:?}", ended.outcome);
    assert!(ended.reason().contains("nobody.invalid/none:1"), "{}", ended.reason());
}

#[tokio::test]
async fn a_step_that_eats_memory_is_killed_at_the_limit() {
    let world = World::start().await;
    let eat = "FROM busybox\nRUN dd if=/dev/zero of=/dev/null bs=400M count=1\n";
    let mut target = world.push(&[("Dockerfile", eat)]).await;
    target.limits.memory_mb = 64;
    let ended = world.build(&target).await;
    assert_eq!(ended.code(), "out_of_memory", "{:?}\n{}", ended.outcome, ended.text());
    assert!(ended.reason().contains("64 MB"), "{}", ended.reason());
}

#[tokio::test]
async fn steps_that_run_at_once_share_the_memory_limit() {
    let world = World::start().await;
    // Each holds 40 MB until the other does: too much together, not alone.
    let eat = |build: &str, own: &str, other: &str| {
        format!(
            "RUN --mount=type=cache,target=/meet \
            dd if=/dev/zero of=/dev/shm/x bs=1M count=40 && touch /meet/{build}-{own} && \
            while ! test -e /meet/{build}-{other}; do sleep 0.1; done\n"
        )
    };
    for (build, memory_mb, code) in [("first", 60, "out_of_memory"), ("second", 200, "succeeded")] {
        let dockerfile = format!(
            "FROM busybox AS a\n{}FROM busybox AS b\n{}FROM busybox\n\
            COPY --from=a /etc /a\nCOPY --from=b /etc /b\n",
            eat(build, "a", "b"),
            eat(build, "b", "a"),
        );
        let mut target = world.push(&[("Dockerfile", &dockerfile)]).await;
        target.limits.memory_mb = memory_mb;
        let ended = world.build(&target).await;
        assert_eq!(ended.code(), code, "{:?}\n{}", ended.outcome, ended.text());
    }
}

#[tokio::test]
async fn a_step_gets_no_more_cpu_than_its_build() {
    let world = World::start().await;
    // Busy until the kernel says that it was held back more than ten times (each 100 ms at most).
    let run = "RUN until cat /sys/fs/cgroup/cpu/cpu.stat /sys/fs/cgroup/cpu.stat 2>/dev/null | \
        awk '/^nr_throttled/ { held = ($2 > 10) } END { exit !held }'; do :; done; \
        echo it was throttled";
    let mut target = world.push(&[("Dockerfile", &format!("FROM busybox\n{run}\n"))]).await;
    // So little that it gets it on a busy machine, too.
    target.limits.cpu_millis = 50;
    target.timeout_seconds = 300;
    let ended = world.build(&target).await;
    assert_eq!(ended.code(), "succeeded", "{:?}\n{}", ended.outcome, ended.text());
}

/// Fails unless one of five rounds takes less than two seconds: the machine may be busy with
/// something else meanwhile.
async fn within_two_seconds(round: impl AsyncFn(u32) -> Duration) {
    let mut took = Vec::new();
    for number in 0..5 {
        took.push(round(number).await);
        if took.last() < Some(&Duration::from_secs(2)) {
            return;
        }
    }
    panic!("{took:?}");
}

#[tokio::test]
async fn a_cancelled_build_is_dead_within_two_seconds() {
    let world = World::start().await;
    within_two_seconds(async |round| {
        let seconds = format!("9{round}{}", std::process::id());
        let run = format!("FROM busybox\nRUN trap : TERM; sleep {seconds}; sleep {seconds}\n");
        let target = world.push(&[("Dockerfile", &run)]).await;
        let cancel = CancellationToken::new();
        let wanted = format!("sleep {seconds}");
        let (ended, took) = tokio::join!(world.build_until(&target, cancel.clone()), async {
            eventually("the step runs", || !processes(&wanted).is_empty()).await;
            cancel.cancel();
            eventually("the step is gone", || processes(&wanted).is_empty()).await
        });
        assert_eq!(ended.code(), "cancelled");
        assert_eq!(images(&world.parts.installation), Vec::<String>::new());
        took
    })
    .await;
}

#[tokio::test]
async fn a_dropped_build_is_dead_within_two_seconds() {
    let world = World::start().await;
    within_two_seconds(async |round| {
        let seconds = format!("8{round}{}", std::process::id());
        let run = format!("FROM busybox\nRUN sleep {seconds}\n");
        let target = world.push(&[("Dockerfile", &run)]).await;
        let wanted = format!("sleep {seconds}");
        tokio::select! {
            ended = world.build(&target) => panic!("{ended:?}"),
            _ = eventually("the step runs", || !processes(&wanted).is_empty()) => {}
        }
        let took = eventually("the step is gone", || processes(&wanted).is_empty()).await;
        assert_eq!(std::fs::read_dir(&world.parts.work_directory).unwrap().count(), 0);
        took
    })
    .await;
}

#[tokio::test]
async fn a_build_that_takes_too_long_ends_at_its_deadline() {
    let world = World::start().await;
    let seconds = format!("7{}", std::process::id());
    let run = format!("FROM busybox\nRUN sleep {seconds}\n");
    let mut target = world.push(&[("Dockerfile", &run)]).await;
    target.timeout_seconds = 3;
    let start = Instant::now();
    let ended = world.build(&target).await;
    assert_eq!(ended.code(), "build_timeout", "{}", ended.text());
    // Whatever the machine is busy with: long before the step itself would end.
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());
    let wanted = format!("sleep {seconds}");
    eventually("the step is gone", || processes(&wanted).is_empty()).await;
}

#[tokio::test]
async fn an_engine_that_is_away_loses_the_attempt_only() {
    let mut world = World::start().await;
    let target = world.push(&[("Dockerfile", "FROM busybox\n")]).await;
    world.parts.engine_socket = world.elsewhere().join("no.sock");
    let ended = world.build(&target).await;
    assert_eq!(ended.code(), "engine_away");
    assert!(matches!(ended.outcome, BuildOutcome::Lost { .. }));
}

#[tokio::test]
async fn an_engine_that_dies_in_the_middle_loses_the_attempt_only() {
    let mut world = World::start().await;
    let target = world.push(&[("Dockerfile", "FROM busybox\n")]).await;
    let socket = world.elsewhere().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    world.parts.engine_socket = socket;
    // A host whose control groups are plain files, and the engine's directory.
    let host = tempfile::tempdir().unwrap();
    for directory in ["docker/buildkit/executor", "groups/memory"] {
        std::fs::create_dir_all(host.path().join(directory)).unwrap();
    }
    std::fs::write(host.path().join("groups/memory/cgroup.procs"), "").unwrap();
    world.parts.cgroup_root = host.path().join("groups");
    let root = host.path().join("docker");
    let info = format!("{{\"DockerRootDir\":\"{}\",\"CgroupVersion\":\"1\"}}", root.display());
    let info = &format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{info}", info.len());
    let engine = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 64 * 1024];
            let read = stream.read(&mut head).await.unwrap();
            let is_build = String::from_utf8_lossy(&head[..read]).contains("/build?");
            let answer = if is_build {
                // One message of a longer answer, and then nothing: killed.
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                17\r\n{\"stream\":\"at work\"}\r\n\r\n"
            } else {
                info
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    let ended = tokio::select! {
        ended = world.build(&target) => ended,
        () = engine => unreachable!(),
    };
    assert_eq!(ended.code(), "engine_away", "{:?}", ended.outcome);
    assert!(matches!(ended.outcome, BuildOutcome::Lost { .. }));
    assert!(ended.says("at work"), "{}", ended.text());
}

#[tokio::test]
async fn an_endless_log_is_cut_and_says_so() {
    let world = World::start().await;
    let run = "FROM busybox\nRUN yes 0123456789012345678901234567890123456789 | head -n 200000\n";
    let target = world.push(&[("Dockerfile", run)]).await;
    let ended = world.build(&target).await;
    assert_eq!(ended.code(), "succeeded", "{:?}", ended.outcome);
    // BuildKit has a limit of its own, which is lower when output comes fast.
    assert!(ended.says("log limit of 4 MiB reached") || ended.says("clipped"));
    assert!(ended.text().len() < 5 * 1024 * 1024);
}

#[tokio::test]
async fn a_build_that_could_not_be_limited_does_not_run() {
    let mut world = World::start().await;
    let target = world.push(&[("Dockerfile", "FROM busybox\nRUN echo it-ran\n")]).await;
    assert_eq!(problem(&world.parts).await, None);
    // No control groups are where they should be.
    let groups = tempfile::tempdir().unwrap();
    world.parts.cgroup_root = groups.path().to_owned();
    let ended = world.build(&target).await;
    assert_eq!(ended.code(), "limits_missing", "{:?}\n{}", ended.outcome, ended.text());
    // Handed back: another node, or this one once it is mended, may build it.
    assert!(matches!(ended.outcome, BuildOutcome::Lost { .. }), "{:?}", ended.outcome);
    assert!(!ended.says("it-ran"), "{}", ended.text());
    let problem = problem(&world.parts).await.expect("the node says so, too");
    assert_eq!(problem.text, ended.reason());
    assert!(problem.text.contains("cannot limit CPU and memory of builds"), "{}", problem.text);
    assert_eq!(std::fs::read_dir(groups.path()).unwrap().count(), 0, "nothing is made up there");
}
