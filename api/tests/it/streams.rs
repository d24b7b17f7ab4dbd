use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::{Value, json};
use zeitwork_database::testing::FACT_LIMIT;
use zeitwork_model::scope::Scope;

use crate::stock::Stock;
use crate::support::{User, World};

/// Reads server-sent events one by one.
struct Reader {
    response: Response,
    text: String,
}

#[derive(Debug, Default, PartialEq)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

impl Reader {
    async fn open(user: &User<'_>, path: &str, last: Option<&str>) -> Self {
        let request =
            user.request(reqwest::Method::GET, path).header("accept", "text/event-stream");
        let request = last.into_iter().fold(request, |it, id| it.header("last-event-id", id));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event; none at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(at) = self.text.find("\n\n") {
                let block: String = self.text.drain(..at + 2).collect();
                if let Some(event) = parse(&block) {
                    return Some(event);
                }
                continue;
            }
            let chunk = tokio::time::timeout(FACT_LIMIT, self.response.chunk());
            let chunk = chunk.await.expect("something comes in time").unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn lines(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await.expect("another line"));
        }
        events
    }
}

fn parse(block: &str) -> Option<Event> {
    let mut event = Event::default();
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("id", text)) => text.clone_into(&mut event.id),
            Some(("event", text)) => text.clone_into(&mut event.name),
            Some(("data", text)) => event.data = serde_json::from_str(text).unwrap(),
            _ => {}
        }
    }
    (!event.name.is_empty()).then_some(event)
}

fn seqs(events: &[Event]) -> Vec<i64> {
    events.iter().map(|event| event.data["seq"].as_i64().unwrap()).collect()
}

/// Appends lines to a stream as a node would.
async fn say(user: &User<'_>, stock: &Stock, stream: &str, first: i64, last: i64) {
    say_text(user, stock, stream, first, last, "line").await;
}

async fn say_text(user: &User<'_>, stock: &Stock, stream: &str, first: i64, last: i64, text: &str) {
    let lines = (first..=last).map(|seq| {
        let at = format!("2026-01-01T00:00:{:02}Z", seq % 60);
        format!("{}\n", json!({ "seq": seq, "at": at, "stream": "stdout", "text": text }))
    });
    let data = hex::encode(zstd::bulk::compress(lines.collect::<String>().as_bytes(), 3).unwrap());
    let (organisation, project) = (user.organisation.0, stock.project.0);
    let script = format!(
        "insert into log_streams (stream, organisation_id, project_id)
         values ('{stream}', '{organisation}', '{project}') on conflict do nothing;
         insert into log_chunks (stream, first_sequence, last_sequence, first_at, last_at, data)
         values ('{stream}', {first}, {last}, now(), now(), '\\x{data}');
         update log_streams set last_sequence = {last} where stream = '{stream}';
         notify zw_logs;"
    );
    user.world.database.run(script).await;
}

async fn end(user: &User<'_>, stock: &Stock) {
    let build = stock.build.0;
    let script = format!(
        "update log_streams set ended_at = now() where stream = '{}';
         update builds set status = 'failed', reason_code = 'x' where id = '{build}';
         notify zw_logs;",
        stock.build
    );
    user.world.database.run(script).await;
}

#[tokio::test]
async fn lines_come_as_pages_without_gap_or_repeat() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    let stock = Stock::new(&user).await;
    let stream = stock.build.to_string();
    say(&user, &stock, &stream, 1, 4).await;
    say(&user, &stock, &stream, 5, 9).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/builds/{stream}/logs?limit=2{cursor}");
        let page = user.get(&path).await.expect(200);
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|line| line["seq"].as_i64().unwrap()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, (1..=9).collect::<Vec<_>>());
    let tail = user.get(&format!("/builds/{stream}/logs?tail=2")).await.expect(200);
    assert_eq!(tail["items"][0]["seq"], 8);
    for bad in ["x", "-1", "YTpi"] {
        let path = format!("/builds/{stream}/logs?cursor={bad}");
        user.get(&path).await.problem(400, "invalid_cursor");
    }
}

#[tokio::test]
async fn a_stream_is_live_and_resumes_exactly() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    let stock = Stock::new(&user).await;
    let stream = stock.build.to_string();
    let path = format!("/builds/{stream}/logs");
    say(&user, &stock, &stream, 1, 3).await;
    let mut reader = Reader::open(&user, &path, None).await;
    let seen = reader.lines(3).await;
    assert_eq!(seqs(&seen), [1, 2, 3]);
    assert!(
        seen.iter()
            .all(|it| it.name == "line" && it.id.parse() == Ok(it.data["seq"].as_i64().unwrap()))
    );
    say(&user, &stock, &stream, 4, 5).await;
    assert_eq!(seqs(&reader.lines(2).await), [4, 5]);
    drop(reader);
    say(&user, &stock, &stream, 6, 8).await;
    let mut reader = Reader::open(&user, &path, Some("4")).await;
    assert_eq!(seqs(&reader.lines(4).await), [5, 6, 7, 8]);
    end(&user, &stock).await;
    let last = reader.next().await.unwrap();
    assert_eq!((last.name.as_str(), &last.data["reason"]), ("end", &json!("finished")));
    assert_eq!(reader.next().await, None);
}

#[tokio::test]
async fn lines_of_several_instances_resume_together() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    let stock = Stock::new(&user).await;
    let (build, instance) = (stock.build.to_string(), stock.instance.to_string());
    say(&user, &stock, &build, 1, 3).await;
    say(&user, &stock, &instance, 1, 3).await;
    let path = format!("/deployments/{}/logs", stock.deployment);
    let mut reader = Reader::open(&user, &path, None).await;
    let first = reader.lines(4).await;
    let mut resumed = Reader::open(&user, &path, Some(&first[3].id)).await;
    let rest = resumed.lines(2).await;
    let mut all: Vec<(Value, i64)> = first
        .iter()
        .chain(&rest)
        .map(|it| (it.data["instance"].clone(), it.data["seq"].as_i64().unwrap()))
        .collect();
    all.sort_by_key(|(instance, seq)| (instance.to_string(), *seq));
    let expected = |name: Value| (1..=3).map(move |seq| (name.clone(), seq));
    let expected: Vec<_> = expected(json!(instance)).chain(expected(Value::Null)).collect();
    assert_eq!(all, expected);
    let environment = "/projects/shop/environments/production/logs";
    let page = user.get(environment).await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 3, "instances only");
}

#[tokio::test]
async fn what_is_no_longer_kept_is_a_visible_gap() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    let stock = Stock::new(&user).await;
    let stream = stock.build.to_string();
    say(&user, &stock, &stream, 11, 12).await;
    let path = format!("/builds/{stream}/logs");
    let mut reader = Reader::open(&user, &path, Some("4")).await;
    let gap = reader.next().await.unwrap();
    assert_eq!((gap.name.as_str(), gap.id.as_str()), ("gap", "10"));
    assert_eq!((&gap.data["from"], &gap.data["to"]), (&json!(5), &json!(10)));
    assert_eq!(seqs(&reader.lines(2).await), [11, 12]);
}

#[tokio::test]
async fn a_revoked_key_loses_its_streams_within_two_seconds() {
    const LIMIT: Duration = Duration::from_secs(2);
    let world = World::start().await;
    let admin = world.user(Scope::Admin).await;
    let stock = Stock::new(&admin).await;
    // The best of five: the machine may have been busy with something else.
    let mut took = Vec::new();
    while took.iter().all(|took| *took >= LIMIT) {
        assert!(took.len() < 5, "{took:?}");
        took.push(revoke_a_reader(&world, &admin, &stock).await);
    }
}

/// Revokes a key that reads two streams, and says how long both went on.
async fn revoke_a_reader(world: &World, admin: &User<'_>, stock: &Stock) -> Duration {
    let reader = world.colleague(admin.organisation, Scope::Read).await;
    let events = "/projects/shop/environments/production/events";
    let mut of_events = Reader::open(&reader, events, None).await;
    assert_eq!(of_events.next().await.unwrap().data["kind"], "wish.recorded");
    let logs = format!("/builds/{}/logs", stock.build);
    let mut of_logs = Reader::open(&reader, &logs, None).await;
    let path = format!("/organisations/{}/api-keys/{}", admin.organisation, reader.key_id);
    admin.delete(&path).await.expect(204);
    let began = Instant::now();
    for stream in [&mut of_events, &mut of_logs] {
        let last = stream.next().await.unwrap();
        assert_eq!((last.name.as_str(), &last.data["reason"]), ("end", &json!("key_revoked")));
        assert_eq!(stream.next().await, None);
    }
    let took = began.elapsed();
    reader.get("/projects").await.problem(401, "unauthenticated");
    took
}

#[tokio::test]
async fn events_are_numbered_without_gaps() {
    let world = World::start().await;
    let user = world.user(Scope::Write).await;
    Stock::new(&user).await;
    let scale = "/projects/shop/environments/production/scale";
    for replicas in 1..=5 {
        user.post(scale, json!({ "replicas": replicas })).await.expect(202);
    }
    let events = "/projects/shop/environments/production/events";
    let page = user.get(&format!("{events}?limit=4")).await.expect(200);
    assert_eq!(page["next_cursor"], "4");
    let mut reader = Reader::open(&user, &format!("{events}?cursor=4"), None).await;
    assert_eq!(seqs(&reader.lines(2).await), [5, 6]);
}

#[tokio::test]
async fn a_reader_who_takes_nothing_is_cut_off_and_told() {
    let world = World::start().await;
    let user = world.user(Scope::Platform).await;
    let stock = Stock::new(&user).await;
    let stream = stock.build.to_string();
    let large = "x".repeat(60_000);
    for first in (1..=601).step_by(100) {
        say_text(&user, &stock, &stream, first, first + 99, &large).await;
    }
    let mut reader = Reader::open(&user, &format!("/builds/{stream}/logs"), None).await;
    assert_eq!(seqs(&reader.lines(1).await), [1]);
    let metrics = format!("http://{}/metrics", world.address);
    let deadline = Instant::now() + FACT_LIMIT;
    loop {
        let text = world.http.get(&metrics).send().await.unwrap().text().await.unwrap();
        if text.contains("zeitwork_streams_open 0") {
            break;
        }
        assert!(Instant::now() < deadline, "the stream stayed open");
        tokio::task::yield_now().await;
    }
    let mut last = None;
    while let Some(event) = reader.next().await {
        last = Some(event);
    }
    assert_eq!(last.unwrap().name, "slow");
}
