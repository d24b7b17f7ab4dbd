use zeitwork_runtime::config::Sources;

use super::*;

/// Whether an App was read, and what is wrong.
fn read(all: &[(&str, &str)]) -> (bool, String) {
    let settings = Sources::new().with_environment(all.iter().copied()).load();
    let app = GithubSettings::read(&settings).is_ok_and(|app| app.is_some());
    (app, settings.finish().map_or_else(|error| error.to_string(), |()| String::new()))
}

#[test]
fn a_webhook_secret_without_an_app_starts() {
    assert_eq!(read(&[("ZEITWORK_GITHUB_WEBHOOK_SECRET", "s")]), (false, String::new()));
}

#[test]
fn an_app_without_its_key_does_not_start() {
    let (app, wrong) = read(&[("ZEITWORK_GITHUB_APP_ID", "7")]);
    assert!(!app && wrong.contains("set both or none"), "{wrong}");
}
