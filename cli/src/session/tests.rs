use serde_json::json;
use zeitwork_runtime::config::Sources;

use super::{Session, moment, short_commit, text, text_or_dash};
use crate::output::{Format, Output};

fn session(environment: &[(&str, &str)], api_url: Option<&str>) -> Session {
    let sources = Sources::new().with_environment(environment.iter().copied());
    Session::new(sources, api_url, Output::new(Format::Text))
}

#[test]
fn the_api_is_where_the_flag_says_else_the_setting_else_this_host() {
    let key = ("ZEITWORK_API_KEY", "secret");
    let set = ("ZEITWORK_API_URL", "https://paas.example.com/");
    let at = |environment: &[(&str, &str)], flag| {
        session(environment, flag).api().unwrap().base().to_owned()
    };
    assert_eq!(at(&[key], None), "http://127.0.0.1:7070");
    assert_eq!(at(&[key, set], None), "https://paas.example.com");
    assert_eq!(at(&[key, set], Some("http://127.0.0.1:1")), "http://127.0.0.1:1");
    let moved = ("ZEITWORK_API_ADDRESS", "127.0.0.1:9, [::1]:9");
    assert_eq!(at(&[key, moved], None), "http://127.0.0.1:9");
}

#[test]
fn an_unknown_name_is_no_error() {
    let odd = [("ZEITWORK_API_KEY", "secret"), ("ZEITWORK_API_ADRESS", "x")];
    assert!(session(&odd, None).api().is_ok());
}

#[test]
fn without_a_key_it_says_how_to_give_one() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().display().to_string();
    let session = session(&[("ZEITWORK_STATE_DIR", &state)], None);
    let error = session.api().unwrap_err().to_string();
    assert!(error.contains("ZEITWORK_API_KEY_FILE"), "{error}");
    std::fs::write(directory.path().join("owner.key"), "zwk_1\n").unwrap();
    assert!(session.api().is_ok());
}

#[test]
fn a_url_that_is_none_is_refused_in_words() {
    for url in ["nowhere", "ftp://host/"] {
        let error = session(&[("ZEITWORK_API_KEY", "k")], Some(url)).api().unwrap_err();
        assert!(error.to_string().contains("the API's URL"), "{error:#}");
    }
}

#[test]
fn values_are_shown_as_people_read_them() {
    let value =
        json!({"a": null, "n": 3, "at": "2026-11-21T05:00:00.123456Z", "c": "0123456789abcdef"});
    assert_eq!(text(&value, "/n"), "3");
    assert_eq!(text_or_dash(&value, "/a"), "-");
    assert_eq!(moment(&value, "/at"), "2026-11-21T05:00:00Z");
    assert_eq!(moment(&value, "/none"), "-");
    assert_eq!(short_commit(&value, "/c"), "0123456789");
}
