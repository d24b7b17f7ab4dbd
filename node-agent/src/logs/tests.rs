use std::time::Duration;

use time::OffsetDateTime;

use super::buffer::{Buffer, Record, encode};
use super::follow::Partial;
use super::mark::Mark;
use super::throttle::{DayLimit, Passage, Throttle};
use super::{LogSink, MAXIMUM_LINE, Stream};

fn record(text: &str) -> Record {
    Record { at: OffsetDateTime::UNIX_EPOCH, stream: Stream::Stdout, text: text.to_owned() }
}

#[tokio::test]
async fn a_sink_never_blocks_and_says_what_it_dropped() {
    let (sink, mut lines) = LogSink::channel(2);
    for number in 0..5 {
        sink.line(Stream::Stdout, &format!("line {number}\n"));
    }
    assert_eq!(lines.next().await.unwrap().text, "3 lines dropped");
    assert_eq!(lines.next().await.unwrap().text, "line 0");
    sink.line(Stream::Stderr, &"x".repeat(MAXIMUM_LINE * 3));
    assert_eq!(lines.next().await.unwrap().text, "line 1");
    let long = lines.next().await.unwrap().text;
    assert!(long.len() < MAXIMUM_LINE + 100 && long.ends_with("(32768 bytes cut off)"));
}

#[test]
fn a_flood_is_dropped_and_one_marker_says_how_much() {
    let begin = time::macros::datetime!(2025-03-31 12:00 UTC);
    let mut throttle = Throttle::default();
    let passed = (0..20_000).filter(|_| throttle.pass(10, begin) == Passage::Pass).count();
    assert_eq!(passed, 5_000);
    let later = begin + Duration::from_millis(150);
    assert_eq!(throttle.pass(10, later), Passage::PassAfter(15_000));
    assert_eq!(throttle.pass(10, later), Passage::Pass);
}

#[test]
fn what_is_read_late_was_not_said_all_at_once() {
    let begin = time::macros::datetime!(2025-03-31 12:00 UTC);
    let mut throttle = Throttle::default();
    for number in 0..20_000_u32 {
        let at = begin + Duration::from_millis(2) * number;
        assert_eq!(throttle.pass(10, at), Passage::Pass, "500 lines a second");
        // Another output is a little behind.
        assert_eq!(throttle.pass(10, at - Duration::from_millis(1)), Passage::Pass);
    }
    let set_back = begin - Duration::from_hours(1);
    for number in 0..20_000_u32 {
        let at = set_back + Duration::from_millis(2) * number;
        assert_eq!(throttle.pass(10, at), Passage::Pass, "a clock that was set back");
    }
}

#[test]
fn a_mark_is_behind_each_output_s_last_line_and_outlives_the_agent_as_text() {
    let (first, second) = (at(100), at(200));
    let mut mark = Mark::default();
    assert!(!mark.covers(Stream::Stdout, first));
    mark.advance(Stream::Stderr, second);
    assert!(mark.covers(Stream::Stderr, first) && mark.covers(Stream::Stderr, second));
    // A long line whose first piece is older than another output's last line.
    assert!(!mark.covers(Stream::Stdout, first));
    mark.advance(Stream::Stdout, first);
    mark.advance(Stream::System, at(300));
    assert!(mark.covers(Stream::Stdout, first) && !mark.covers(Stream::System, first));
    assert_eq!(Mark::read(&mark.text(u64::MAX)), mark);
    assert!(mark.text(u64::MAX).len() <= 256);
    assert_eq!((mark.since(), Mark::default().since()), (140, 0));
    assert_eq!(Mark::read("of another age"), Mark::default());
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds)
}

#[test]
fn a_day_has_its_limit_and_the_next_begins_anew() {
    let monday = time::macros::date!(2025 - 03 - 31);
    let tuesday = monday.next_day().unwrap();
    let mut limit = DayLimit::new(100);
    for is_last in [false, true] {
        assert_eq!(limit.pass(monday), Passage::Pass);
        assert_eq!(limit.count(50), is_last);
    }
    for _ in 0..7 {
        assert_eq!(limit.pass(monday), Passage::Drop);
    }
    assert_eq!(limit.dropped(), 7);
    assert_eq!(limit.pass(tuesday), Passage::PassAfter(7));
    limit.count(50);
    assert_eq!(limit.pass(monday), Passage::Pass, "a late line counts for the later day");
    limit.count(50);
    assert_eq!(limit.pass(monday), Passage::Drop, "and does not begin the day before anew");
    assert_eq!(limit.pass(tuesday), Passage::Drop);
}

#[test]
fn while_nothing_can_be_stored_the_oldest_lines_go() {
    let mut buffer = Buffer::default();
    for number in 0..10_000 {
        buffer.push(record(&format!("{number:01000}")));
    }
    assert!(buffer.bytes() <= 2 * 1024 * 1024);
    let first = buffer.take(64 * 1024);
    assert_eq!(first[0].stream, Stream::System);
    assert!(first[0].text.ends_with("lines dropped: they could not be stored in time"));
    let mut rest = first;
    while !buffer.is_empty() {
        rest.extend(buffer.take(64 * 1024));
    }
    assert!(rest.last().unwrap().text.ends_with("9999"));
}

#[test]
fn a_chunk_is_numbered_json_lines() {
    let chunk = encode(&[record("a"), record("b\u{1b}")], 41).unwrap();
    let text = String::from_utf8(zstd::bulk::decompress(&chunk, 10_000).unwrap()).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines[1],
        serde_json::json!({"seq": 42, "at": "1970-01-01T00:00:00Z", "stream": "stdout", "text": "b\u{1b}"})
    );
}

#[test]
fn a_line_in_pieces_is_put_together() {
    let mut partial = Partial::default();
    assert_eq!(partial.add(at(1), b"hel"), (None, None));
    assert_eq!(partial.add(at(1), b"lo\r\n"), (None, Some((at(1), "hello".to_owned()))));
    assert_eq!(partial.finish(), None);
    for _ in 0..100 {
        assert_eq!(partial.add(at(2), &[b'x'; 16_384]), (None, None));
    }
    assert!(partial.finish().unwrap().1.len() <= 2 * MAXIMUM_LINE, "memory stays bounded");
}

#[test]
fn what_had_no_line_end_is_a_line_once_another_begins() {
    let mut partial = Partial::default();
    assert_eq!(partial.add(at(1), b"its last words"), (None, None));
    let last = Some((at(1), "its last words".to_owned()));
    assert_eq!(
        partial.add(at(2), b"the next start\n"),
        (last, Some((at(2), "the next start".to_owned())))
    );
}
