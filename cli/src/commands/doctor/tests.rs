use std::net::TcpListener;
use std::path::Path;

use zeitwork_database::login::Rights;

use super::Outcome;
use super::database::{clock, functions, roles};
use super::engine::body;
use super::host::{in_path, port, room};

fn rights() -> Rights {
    Rights {
        login: "pa\"as".to_owned(),
        database: "shop".to_owned(),
        server_version: "16.2".to_owned(),
        may_create_roles: true,
        may_create_schemas: true,
        open_functions: 0,
    }
}

#[test]
fn missing_rights_are_answered_with_the_statements_that_give_them() {
    assert_eq!(roles(&rights()).outcome, Outcome::Ok);
    let finding = roles(&Rights { may_create_roles: false, may_create_schemas: false, ..rights() });
    assert_eq!(finding.outcome, Outcome::Wrong);
    assert_eq!(
        finding.remedy,
        [
            "alter role \"pa\"\"as\" createrole;",
            "grant create on database \"shop\" to \"pa\"\"as\";"
        ]
    );
}

#[test]
fn functions_that_the_migrations_could_not_close_are_named_with_what_closes_them() {
    assert_eq!(functions(&rights()).outcome, Outcome::Ok);
    let finding = functions(&Rights { open_functions: 41, ..rights() });
    assert_eq!(finding.outcome, Outcome::Hint);
    assert!(finding.detail.contains("41") && finding.detail.contains("shop"), "{finding:?}");
    assert!(finding.remedy[0].contains("revoke execute on function"), "{finding:?}");
}

#[test]
fn a_taken_port_is_named_with_its_setting() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let finding = port("ZEITWORK_API_ADDRESS", address).unwrap();
    assert_eq!(finding.outcome, Outcome::Wrong);
    assert!(finding.remedy[0].contains("ZEITWORK_API_ADDRESS"), "{finding:?}");
    drop(listener);
    assert_eq!(port("ZEITWORK_API_ADDRESS", address), None);
}

#[test]
fn room_and_clocks_are_judged_by_their_limits() {
    let outcome = |gib: u64| room("disk", Path::new("/x"), gib << 30).outcome;
    assert_eq!(
        [0, 1, 4, 5].map(outcome),
        [Outcome::Wrong, Outcome::Hint, Outcome::Hint, Outcome::Ok]
    );
    let outcome = |ms: u128| clock(ms).outcome;
    assert_eq!(
        [0, 1_999, 2_000, 60_000].map(outcome),
        [Outcome::Ok, Outcome::Ok, Outcome::Hint, Outcome::Wrong]
    );
}

#[test]
fn an_answer_of_the_engine_is_read_or_refused_whole() {
    assert_eq!(
        body(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"a\":1}"),
        Some(serde_json::json!({"a": 1}))
    );
    assert_eq!(body(b"HTTP/1.0 404 Not Found\r\n\r\n{}"), None);
    assert_eq!(body(b"HTTP/1.0 200 OK\r\n\r\nno json"), None);
    assert_eq!(body(b"HTTP/1.0 200"), None);
}

#[test]
fn programs_are_found_where_everybody_has_them() {
    assert!(in_path("ls"));
    assert!(!in_path("no-such-program-of-ours"));
}
