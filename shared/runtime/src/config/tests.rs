use std::net::SocketAddr;

use secrecy::ExposeSecret as _;

use super::sources::arguments;
use super::*;

fn environment(all: &[(&str, &str)]) -> Settings {
    Sources::new().with_environment(all.iter().copied()).load()
}

fn mistakes(settings: &Settings) -> Vec<String> {
    let all = settings.finish().map_or_else(|error| error.0, |()| Vec::new());
    all.iter().map(ToString::to_string).collect()
}

#[test]
fn flag_wins_over_environment_over_file_over_default() {
    let name = "ZEITWORK_BASE_DOMAIN";
    let file = || Sources::new().with_file("base_domain = 'file.example'");
    let env = || file().with_environment([(name, "env.example")]);
    let read = |sources: Sources| sources.load().required::<String>(name).unwrap();
    assert_eq!(read(Sources::new()), "localhost");
    assert_eq!(read(file()), "file.example");
    assert_eq!(read(env()), "env.example");
    assert_eq!(read(env().with_flags([(name, "flag.example")])), "flag.example");
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let settings = environment(&[
        ("ZEITWORK_API_ADDRESS", "127.0.0.1:7070,nowhere"),
        ("ZEITWORK_GITHUB_APP_ID", "seven"),
        ("ZEITWORK_GITHUB_WEBHOOK_SECRET", ""),
        ("ZEITWORK_API_ADRESS", "x"),
    ]);
    assert!(settings.list::<SocketAddr>("ZEITWORK_API_ADDRESS").is_err());
    assert!(settings.optional::<u64>("ZEITWORK_GITHUB_APP_ID").is_err());
    assert!(settings.secret_list("ZEITWORK_GITHUB_WEBHOOK_SECRET").is_err());
    assert!(settings.required::<String>("ZEITWORK_NODE_NAME").is_err());
    assert_eq!(
        mistakes(&settings),
        [
            "ZEITWORK_API_ADDRESS: \"nowhere\" (environment): invalid socket address syntax",
            "ZEITWORK_GITHUB_APP_ID: \"seven\" (environment): invalid digit found in string",
            "ZEITWORK_GITHUB_WEBHOOK_SECRET: is set but empty; unset it or give it a value",
            "ZEITWORK_NODE_NAME: is not set (name of this node; unset: the one it joined with, at first the host's)",
            "ZEITWORK_API_ADRESS: no such setting (environment); \
             did you mean ZEITWORK_API_ADDRESS?",
        ]
    );
}

#[test]
fn names_of_container_links_are_ignored_and_others_are_unknown() {
    let settings = environment(&[
        ("ZEITWORK_API_PORT", "tcp://10.0.0.1:7070"),
        ("ZEITWORK_API_PORT_7070_TCP", "tcp://10.0.0.1:7070"),
        ("ZEITWORK_API_PORT_7070_TCP_ADDR", "10.0.0.1"),
        ("ZEITWORK_API_SERVICE_HOST", "10.0.0.1"),
        ("ZEITWORK_API_SERVICE_PORT_HTTP", "7070"),
        ("ZEITWORK_API_NAME", "/web/zeitwork-api"),
        ("PATH", "/bin"),
    ]);
    assert_eq!(mistakes(&settings), Vec::<String>::new());
    let settings = environment(&[("ZEITWORK_API_PORT", "7070")]);
    assert_eq!(settings.unknown().len(), 1);
    assert!(settings.finish().is_err(), "a daemon refuses it");
    assert_eq!(settings.finish_leniently(), Ok(()), "the CLI warns");
}

#[test]
fn a_secret_comes_from_its_file_without_the_line_end() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret\n").unwrap();
    let path = file.path().to_str().unwrap();
    let settings = environment(&[("ZEITWORK_DATABASE_URL_FILE", path)]);
    let secret = settings.secret("ZEITWORK_DATABASE_URL").unwrap().unwrap();
    assert_eq!(secret.expose_secret(), "s3cret");
    assert!(settings.is_set("ZEITWORK_DATABASE_URL"));
    assert_eq!(settings.finish(), Ok(()));
}

#[test]
fn a_secret_and_its_file_in_one_layer_contradict_but_a_higher_layer_wins() {
    let both = [("ZEITWORK_OWNER_KEY", "a"), ("ZEITWORK_OWNER_KEY_FILE", "/nowhere")];
    let settings = environment(&both);
    assert!(settings.secret("ZEITWORK_OWNER_KEY").is_err());
    assert_eq!(
        mistakes(&settings),
        ["ZEITWORK_OWNER_KEY: set it or ZEITWORK_OWNER_KEY_FILE, not both"]
    );
    let layered = Sources::new()
        .with_environment([("ZEITWORK_OWNER_KEY", "from-environment")])
        .with_file("owner_key_file = '/nowhere'")
        .load();
    let secret = layered.secret("ZEITWORK_OWNER_KEY").unwrap().unwrap();
    assert_eq!(secret.expose_secret(), "from-environment");
}

#[test]
fn a_file_that_is_missing_or_empty_is_a_mistake_without_the_secret() {
    let settings = environment(&[("ZEITWORK_DATABASE_URL_FILE", "/nowhere/at/all")]);
    assert!(settings.required_secret("ZEITWORK_DATABASE_URL").is_err());
    let [mistake] = mistakes(&settings).try_into().unwrap();
    assert!(mistake.contains("/nowhere/at/all: No such file"), "{mistake}");
}

#[test]
fn the_file_takes_tables_arrays_and_plain_names() {
    let text = "rust_log = 'debug'\n[api]\naddress = ['127.0.0.1:1', '[::1]:1']\n\
                [github]\napp_id = 7\n[speed]\nwarp = 9";
    let settings = Sources::new().with_file(text).load();
    assert_eq!(settings.list::<SocketAddr>("ZEITWORK_API_ADDRESS").unwrap().len(), 2);
    assert_eq!(settings.optional::<u64>("ZEITWORK_GITHUB_APP_ID"), Ok(Some(7)));
    assert_eq!(settings.raw("RUST_LOG"), Some("debug"));
    assert_eq!(mistakes(&settings), ["ZEITWORK_SPEED_WARP: no such setting (file)"]);
}

#[test]
fn set_but_empty_differs_from_unset() {
    let settings = environment(&[("ZEITWORK_EDGE_HTTPS_ADDRESS", "")]);
    assert_eq!(settings.raw("ZEITWORK_EDGE_HTTPS_ADDRESS"), Some(""));
    assert_eq!(settings.list::<SocketAddr>("ZEITWORK_EDGE_HTTPS_ADDRESS"), Ok(vec![]));
    assert_eq!(settings.list::<SocketAddr>("ZEITWORK_EDGE_HTTP_ADDRESS").unwrap().len(), 1);
    assert_eq!(settings.raw("ZEITWORK_PUBLIC_URL"), None);
}

#[test]
fn arguments_are_flags_and_secrets_are_none() {
    let flags = arguments(&["--api-address=[::1]:1", "--state-dir", "/x"]).unwrap();
    let settings = Sources::new().with_flags(flags).load();
    assert_eq!(settings.raw("ZEITWORK_API_ADDRESS"), Some("[::1]:1"));
    assert_eq!(settings.raw("ZEITWORK_STATE_DIR"), Some("/x"));
    let error = arguments(&["--owner-key", "zk_abc", "serve", "--redis-url-file"]).unwrap_err();
    let text = error.to_string();
    assert!(!text.contains("zk_abc"), "{text}");
    assert_eq!(error.0.len(), 3, "{text}");
}

#[test]
fn every_default_of_the_table_reads() {
    let settings = Sources::new().load();
    for setting in KNOWN.iter().filter(|setting| setting.name.ends_with("_ADDRESS")) {
        let read = settings.list::<SocketAddr>(setting.name).unwrap();
        assert_eq!(read.len(), 1, "{}", setting.name);
    }
    assert_eq!(Common::read(&settings).unwrap().state_dir.to_str(), Some(".zeitwork"));
    assert_eq!(settings.finish(), Ok(()));
}

#[test]
fn what_is_set_without_effect_is_said() {
    let settings = environment(&[
        ("ZEITWORK_REDIS_URL_FILE", "/run/secrets/redis"),
        ("ZEITWORK_EDGE_HTTPS_ADDRESS", "0.0.0.0:443"),
        ("ZEITWORK_API_ADDRESS", "127.0.0.1:1"),
    ]);
    let unused: Vec<&str> = settings.unused().collect();
    assert_eq!(unused, ["ZEITWORK_REDIS_URL", "ZEITWORK_EDGE_HTTPS_ADDRESS"]);
    assert_eq!(environment(&[]).unused().count(), 0);
}
