//! What instances say, and what of it arrives.

use std::time::Duration;

use serde_json::json;
use zeitwork_database::log_chunks::LogChunk;
use zeitwork_database::testing::{FACT_LIMIT, TestDatabase, execute};
use zeitwork_database::{Database, join, log_chunks};
use zeitwork_model::id::{BuildId, OrganisationId, ProjectId};
use zeitwork_node_agent::logs::Stream;
use zeitwork_node_agent::logs::ship::Shipping;
use zeitwork_node_agent::logs::throttle::DAY_BYTES;
use zeitwork_protocol::report::InstancePhase;
use zeitwork_runtime::clock::Clock;
use zeitwork_runtime::lifecycle::Lifecycle;

use crate::support::{SERVER, with_node};

#[tokio::test(flavor = "multi_thread")]
async fn lines_arrive_once_in_order_and_without_secrets() {
    with_node(async |node| {
        let script = format!(
            "echo one; echo two >&2; printf '%s' \"my ${{GREETING%-*}}\"; \
             printf '%s\\n' \"-${{GREETING#*-}}!\"; (while ! test -e /go; do sleep 0.05; done; \
             echo four) & {SERVER}"
        );
        let instance = node.instance(1, &script).await;
        node.want(1, vec![instance.clone()]);
        node.until_phase(instance.id, InstancePhase::Healthy).await;
        let mut lines = node.lines(instance.id, 3).await;
        lines.sort_by_key(|(stream, _)| *stream == Stream::Stderr);
        let wanted =
            [(Stream::Stdout, "one"), (Stream::Stdout, "my ***!"), (Stream::Stderr, "two")];
        assert_eq!(lines, wanted.map(|(stream, text)| (stream, text.to_owned())));

        // A second agent goes on where the first was, on the same container.
        node.kill().await;
        node.start();
        node.until_phase(instance.id, InstancePhase::Healthy).await;
        let container = node.engine.list().await.unwrap().remove(0);
        let root = format!("/proc/{}/root/go", container.pid);
        std::fs::write(root, "").unwrap();
        let lines = node.lines(instance.id, 4).await;
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[3].1, "four");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_an_instance_that_crashes_at_once_arrives() {
    with_node(async |node| {
        let script = "seq 200; echo -n the last one; exit 7";
        let instance = node.instance(1, script).await;
        node.want(1, vec![instance.clone()]);
        // Three attempts, each with its lines, the last of them without a line end, and a word
        // of ours.
        let said = node.lines(instance.id, 3 * 202).await;
        let of = |wanted: Stream| {
            let texts = said.iter().filter(move |(stream, _)| *stream == wanted);
            texts.map(|(_, text)| text.clone()).collect::<Vec<_>>()
        };
        let one: Vec<String> =
            (1..=200).map(|n| n.to_string()).chain(["the last one".to_owned()]).collect();
        assert_eq!(of(Stream::Stdout), [one.clone(), one.clone(), one].concat());
        assert_eq!(of(Stream::System), ["it ended with exit code 7"; 3]);
    })
    .await;
}

/// A stream of a node that has joined, and the database as the node sees it.
async fn open_stream(
    world: &TestDatabase,
    stream: BuildId,
    organisation: OrganisationId,
) -> Database {
    let mut connection = world.owner.acquire().await.unwrap();
    let login = join::ensure(&mut connection, "one", &[7; 32]).await.unwrap();
    let (organisation, project) = (organisation.0, ProjectId::new().0);
    let statements = format!(
        "insert into organisations (id, slug, name) values ('{organisation}', 'o', 'o');
        insert into projects (id, organisation_id, slug, name, source_kind, url)
        values ('{project}', '{organisation}', 'p', 'p', 'git', 'https://example.com/p');
        insert into log_streams (stream, organisation_id, project_id, node_id)
        select '{stream}', '{organisation}', '{project}', id from nodes"
    );
    execute(&world.owner, &statements).await;
    world.node(&login).await
}

/// The chunks of a stream once it has ended, and what they say.
async fn stored(
    world: &TestDatabase,
    organisation: OrganisationId,
    stream: BuildId,
) -> (Vec<LogChunk>, Vec<serde_json::Value>) {
    let mut connection = world.owner.acquire().await.unwrap();
    let name = stream.to_string();
    let deadline = std::time::Instant::now() + FACT_LIMIT;
    let names = [name.clone()];
    while log_chunks::streams(&mut connection, organisation, &names)
        .await
        .unwrap()
        .first()
        .is_none_or(|found| found.ended_at.is_none())
    {
        assert!(std::time::Instant::now() < deadline, "the stream ends");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let chunks = log_chunks::after(&mut connection, organisation, &name, 0, 1_000).await.unwrap();
    let mut lines = Vec::new();
    for chunk in &chunks {
        let text = zstd::bulk::decompress(&chunk.data, 1 << 20).unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        lines.extend(text.lines().map(|line| serde_json::from_str(line).unwrap()));
    }
    (chunks, lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_numbered_and_stored_as_chunks() {
    let world = TestDatabase::create().await;
    let (stream, organisation) = (BuildId::new(), OrganisationId::new());
    let database = open_stream(&world, stream, organisation).await;
    let (life, clock) = (Lifecycle::new(), Clock::system());
    let shipping = Shipping { database, clock, life: life.clone(), day_bytes: DAY_BYTES };
    let sink = shipping.build(stream);
    for number in 1..=3_000 {
        sink.line(Stream::Stdout, &format!("line {number}"));
    }
    drop(sink);

    let (chunks, lines) = stored(&world, organisation, stream).await;
    for (line, number) in lines.iter().zip(1..) {
        assert_eq!(
            (&line["seq"], &line["text"]),
            (&json!(number), &json!(format!("line {number}")))
        );
    }
    assert_eq!(lines.len(), 3_000);
    let mut next = 1;
    for chunk in &chunks {
        assert_eq!(chunk.first_sequence, next);
        next = chunk.last_sequence + 1;
    }
    assert_eq!(next, 3_001);
    life.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_of_a_day_nothing_is_stored_but_how_much_was_said() {
    let world = TestDatabase::create().await;
    let (stream, organisation) = (BuildId::new(), OrganisationId::new());
    let database = open_stream(&world, stream, organisation).await;
    let (life, clock) = (Lifecycle::new(), Clock::system());
    let shipping = Shipping { database, clock, life: life.clone(), day_bytes: 1_000 };
    let sink = shipping.build(stream);
    let monday = time::macros::datetime!(2025-03-31 23:59:58 UTC);
    let say = |text: &str, at| sink.line_at(Stream::Stdout, text, at);
    for _ in 0..30 {
        say(&"x".repeat(99), monday);
    }
    // What the platform says is not part of it.
    sink.line_at(Stream::System, "it ended with exit code 7", monday);
    let tuesday = monday + Duration::from_secs(3);
    for _ in 0..12 {
        say(&"y".repeat(99), tuesday);
    }
    drop(sink);

    let (_, lines) = stored(&world, organisation, stream).await;
    let said: Vec<&str> = lines
        .iter()
        .map(|line| line["text"].as_str().unwrap())
        .map(|text| if text.len() == 99 { &text[..1] } else { text })
        .collect();
    let reached = "the day's limit of 1000 bytes is reached; lines are dropped until midnight UTC";
    let expected = [
        &["x"; 10][..],
        &[reached, "it ended with exit code 7"],
        &["the day's limit of 1000 bytes was reached; 20 lines dropped"],
        &["y"; 10],
        &[reached, "the day's limit of 1000 bytes was reached; 2 lines dropped"],
    ];
    assert_eq!(said, expected.concat());
    life.stop();
}
