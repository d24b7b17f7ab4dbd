use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use zeitwork_runtime::config::{ConfigError, Mistake, Settings, Sources};

use super::daemons::owner_key_file;
use super::demo::Demo;
use super::home::Home;
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

fn given(all: &[(&str, &str)]) -> Settings {
    Sources::new().with_environment(all.iter().copied()).load()
}

#[test]
fn the_file_of_the_owners_key_is_named_where_there_is_one() {
    let state = PathBuf::from("/state");
    let home = Home { root: state.clone(), state, installation: "0".to_owned() };
    let file = |all| owner_key_file(&home, &given(all));
    assert_eq!(file(&[]).as_deref(), Some(Path::new("/state/owner.key")));
    assert_eq!(file(&[("ZEITWORK_OWNER_KEY", "zk_x")]), None);
    let elsewhere = file(&[("ZEITWORK_OWNER_KEY_FILE", "/run/secrets/key")]);
    assert_eq!(elsewhere.as_deref(), Some(Path::new("/run/secrets/key")));
}

#[test]
fn the_demo_adds_its_git_server_to_those_that_were_given_and_is_the_only_github() {
    let demo: Demo = serde_json::from_value(json!({
        "url": "http://127.0.0.1:1", "api_url": "http://127.0.0.1:1/api", "app_id": 7,
        "private_key_file": "/k", "webhook_secret": "s", "insecure_host": "127.0.0.1:1",
        "sample": {"working_copy": "/w", "commit": "c"},
    }))
    .unwrap();
    let sources = || {
        Sources::new().with_environment([
            ("ZEITWORK_GITHUB_URL", "https://github.example"),
            ("ZEITWORK_GITHUB_WEBHOOK_SECRET_FILE", "/nowhere"),
            ("ZEITWORK_GIT_INSECURE_HOSTS", "git.lan:80"),
        ])
    };
    let given = sources().load();
    let with = demo.settings(sources(), given.raw("ZEITWORK_GIT_INSECURE_HOSTS")).load();
    assert_eq!(with.raw("ZEITWORK_GIT_INSECURE_HOSTS"), Some("git.lan:80,127.0.0.1:1"));
    assert_eq!(with.raw("ZEITWORK_GITHUB_URL"), Some("http://127.0.0.1:1"));
    assert!(with.secret("ZEITWORK_GITHUB_WEBHOOK_SECRET").is_ok());
    let alone = demo.settings(Sources::new(), None).load();
    assert_eq!(alone.raw("ZEITWORK_GIT_INSECURE_HOSTS"), Some("127.0.0.1:1"));
}

#[test]
fn what_a_daemon_says_of_its_settings_is_read_back() {
    let mistake = |name: &str, text: &str| Mistake { name: name.into(), text: text.into() };
    let all = vec![mistake("ZEITWORK_A", "\"x\" (file): bad: worse"), mistake("--b", "no value")];
    let said = format!("Error: {}", ConfigError(all.clone()));
    assert_eq!(super::check::read(&said), all);
    assert_eq!(super::check::read("Error: cannot execute\n"), []);
}
