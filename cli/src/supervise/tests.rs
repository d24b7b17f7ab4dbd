use std::time::Duration;

use super::logs::{sentence, shorten_all};
use super::patience::{Patience, STABLE, Said};

#[test]
fn a_crash_loop_is_said_once_and_slows_down() {
    let mut patience = Patience::default();
    let ends: Vec<(Said, Duration)> =
        (0..9).map(|_| patience.ended(Duration::from_millis(1))).collect();
    let said: Vec<Said> = ends.iter().map(|(said, _)| *said).collect();
    assert_eq!(said[..4], [Said::Ended, Said::Ended, Said::KeepsEnding, Said::Nothing]);
    assert!(said[3..].iter().all(|said| *said == Said::Nothing), "{said:?}");
    assert!(ends.is_sorted_by_key(|(_, pause)| *pause), "{ends:?}");
    assert_eq!(ends[8].1, Duration::from_secs(10));
    assert!(patience.is_stable(), "that it runs again is news");
    assert!(!patience.is_stable());
    assert_eq!(patience.ended(STABLE * 2), (Said::Ended, Duration::from_millis(200)));
}

#[test]
fn the_last_words_of_a_daemon_are_read_from_its_log() {
    let json = r#"{"level":"ERROR","message":"the operator ends","error":"bind: taken"}"#;
    assert_eq!(sentence(&format!("x\n{json}\n\n")), "the operator ends: bind: taken");
    let ended = "Error: bind\n\nCaused by:\n    taken\n\nStack backtrace:\n   0: main\n";
    assert_eq!(sentence(&format!("{json}\n{ended}")), "Error: bind Caused by: taken");
    let panicked = "thread 'main' (1) panicked at a.rs:1:\nno luck\nstack backtrace:\n   0: x\n";
    assert_eq!(sentence(panicked), "thread 'main' (1) panicked at a.rs:1: no luck");
    assert_eq!(sentence("cannot execute\n"), "cannot execute");
    assert_eq!(sentence("\n"), "");
}

#[test]
fn a_long_log_is_moved_while_its_writer_goes_on() {
    use std::io::Write;
    let directory = tempfile::tempdir().unwrap();
    let (log, old) = (directory.path().join("api.log"), directory.path().join("api.log.1"));
    let options = || std::fs::File::options().append(true).create(true).clone();
    let mut writer = options().open(&log).unwrap();
    writer.write_all(&[b'a'; 100]).unwrap();
    shorten_all(directory.path(), 100).unwrap();
    assert!(!old.exists(), "it is not too long yet");
    writer.write_all(b"b").unwrap();
    shorten_all(directory.path(), 100).unwrap();
    writer.write_all(b"c").unwrap();
    assert_eq!(std::fs::read(&old).unwrap().len(), 101);
    assert_eq!(std::fs::read(&log).unwrap(), b"c");
}
