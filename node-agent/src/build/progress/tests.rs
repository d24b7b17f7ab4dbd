use proptest::prelude::*;

use super::*;

fn number(field: u8, value: u64) -> Vec<u8> {
    let mut bytes = vec![field << 3];
    let mut value = value;
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push((value & 0x7f) as u8);
    bytes
}

fn nested(field: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = number(field, value.len() as u64);
    bytes[0] |= 2;
    bytes.extend_from_slice(value);
    bytes
}

fn step(name: &str, more: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes =
        [nested(1, b"sha256:a"), nested(2, b"sha256:input"), nested(3, name.as_bytes())];
    bytes[1].extend(more.concat());
    nested(1, &bytes.concat())
}

fn time(field: u8, seconds: u64, nanos: u64) -> Vec<u8> {
    nested(field, &[number(1, seconds), number(2, nanos)].concat())
}

fn output(stream: u64, bytes: &[u8]) -> Vec<u8> {
    nested(3, &[nested(1, b"sha256:a"), number(3, stream), nested(4, bytes)].concat())
}

fn said(messages: &[Vec<u8>]) -> (Vec<(Stream, String)>, Option<FailedStep>) {
    let mut progress = Progress::default();
    let mut lines = Vec::new();
    let mut say = |stream, line: &str| lines.push((stream, line.to_owned()));
    for message in messages {
        progress.take(decode(message).unwrap(), &mut say);
    }
    progress.finish(&mut say);
    let failed = progress.failed().cloned();
    (lines, failed)
}

#[test]
fn a_step_says_its_name_its_output_and_its_time() {
    let (lines, failed) = said(&[
        step("[1/2] RUN make", &[time(5, 100, 0)]),
        output(1, b"one\ntw"),
        output(2, b"careful\n"),
        output(1, b"o\r\n10%\r50%\r100%\nrest"),
        step("[1/2] RUN make", &[time(5, 100, 0), time(6, 102, 340_000_000)]),
    ]);
    let texts: Vec<(Stream, &str)> = lines.iter().map(|(s, text)| (*s, text.as_str())).collect();
    assert_eq!(
        texts,
        [
            (Stream::System, "[1/2] RUN make"),
            (Stream::Stdout, "one"),
            (Stream::Stderr, "careful"),
            (Stream::Stdout, "two"),
            (Stream::Stdout, "100%"),
            (Stream::Stdout, "rest"),
            (Stream::System, "[1/2] RUN make done in 2.3 s"),
        ]
    );
    assert_eq!(failed, None);
}

#[test]
fn a_cached_step_is_said_once_and_the_engines_own_never() {
    let cached = step("[1/2] RUN make", &[number(4, 1), time(5, 1, 0), time(6, 1, 0)]);
    let own = step("[internal] load build context", &[time(5, 1, 0), time(6, 1, 0)]);
    let (lines, _) = said(&[own, cached.clone(), cached]);
    assert_eq!(lines, [(Stream::System, "[1/2] RUN make (cached)".to_owned())]);
}

#[test]
fn the_first_failure_counts_not_what_it_stopped() {
    let (_, failed) = said(&[
        step("[a 1/1] RUN sleep", &[time(5, 1, 0), nested(7, b"context canceled")]),
        step("[b 1/1] RUN false", &[time(5, 1, 0), nested(7, b"exit code: 1")]),
        step("[c 1/1] RUN later", &[time(5, 1, 0), nested(7, b"exit code: 2")]),
    ]);
    assert_eq!(failed.map(|step| step.name), Some("[b 1/1] RUN false".to_owned()));
}

#[test]
fn a_line_without_end_is_said_in_pieces() {
    let (lines, _) = said(&[output(1, &vec![b'x'; 40_000])]);
    assert_eq!(lines.iter().map(|(_, line)| line.len()).sum::<usize>(), 40_000);
    assert!(lines.iter().all(|(_, line)| line.len() <= MAXIMUM_PENDING));
}

#[test]
fn what_is_no_message_is_an_error() {
    for bytes in [&[0x0a][..], &[0x0a, 5, 1], &[0x80; 12], &[0x0b], &[0x0f, 0]] {
        assert_eq!(decode(bytes), Err(Malformed), "{bytes:?}");
    }
    assert_eq!(decode(&[]), Ok(Status::default()));
    // Fields that nobody knows yet.
    assert_eq!(decode(&[0x78, 1, 0x21, 0, 0, 0, 0, 0, 0, 0, 0]), Ok(Status::default()));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn lines_do_not_depend_on_the_pieces(
        text in "[a-z]{0,9}(\n[a-z]{1,9}){0,9}\n",
        size in 1_usize..20,
    ) {
        let pieces: Vec<Vec<u8>> =
            text.as_bytes().chunks(size).map(|piece| output(1, piece)).collect();
        let lines: Vec<String> = said(&pieces).0.into_iter().map(|(_, line)| line).collect();
        let whole: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        prop_assert_eq!(lines, whole);
    }
}
