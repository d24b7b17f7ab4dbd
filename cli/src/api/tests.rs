use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::problem::sentence;
use super::sse::{Event, Parser};
use super::{Api, missing, segment, with_query};

fn event(id: &str, name: &str, data: &str) -> Event {
    Event { id: Some(id.to_owned()), name: name.to_owned(), data: data.to_owned() }
}

#[test]
fn a_problem_is_a_sentence_with_its_code_and_request() {
    let body = json!({
        "title": "Invalid", "status": 422, "code": "invalid", "detail": "The input is not valid.",
        "request_id": "req_1",
        "errors": [{"pointer": "/source/url", "code": "x", "detail": "must begin with https://"}],
    });
    assert_eq!(
        sentence(422, &body, None),
        "The input is not valid. source.url must begin with https://. (422 invalid, request req_1)"
    );
}

#[test]
fn a_wish_that_is_not_valid_is_answered_with_what_is_wrong_alone() {
    let error = |pointer, detail| json!({"pointer": pointer, "detail": detail});
    let errors = [error("/name", "is taken."), error("/source/url", "is empty")];
    let body = json!({"code": "validation_failed", "detail": "Correct what `errors` names.", "errors": errors});
    assert_eq!(
        sentence(422, &body, None),
        "name is taken. source.url is empty. (422 validation_failed)"
    );
}

#[test]
fn a_key_that_is_unknown_is_answered_with_how_to_give_another() {
    let body = json!({"code": "unauthenticated", "detail": "Send Authorization: Bearer …"});
    assert!(sentence(401, &body, None).contains("ZEITWORK_API_KEY_FILE"));
}

#[test]
fn what_is_missing_is_named_as_it_was_given() {
    assert_eq!(
        missing("/projects/shop/environments/stag%20ing/scale?x=y"),
        "there is no project shop with environment stag ing (or this key may not see it)"
    );
    assert_eq!(
        missing("/deployments/dep_1/cancel"),
        "there is no deployment dep_1 (or this key may not see it)"
    );
    assert_eq!(
        missing("/nodes?limit=1"),
        "there is nothing at /nodes (or this key may not see it)"
    );
}

#[test]
fn an_answer_that_is_no_problem_still_says_what_is_known() {
    assert_eq!(
        sentence(502, &json!(null), Some("req_2")),
        "the API answered 502 (502, request req_2)"
    );
}

#[test]
fn no_name_leads_to_another_resource() {
    assert_eq!(segment("../keys?x#y"), "%2E%2E%2Fkeys%3Fx%23y");
    assert_eq!(segment("shop-1"), "shop-1");
    assert_eq!(with_query("/a?b=1", &[("c", "d e&f")]), "/a?b=1&c=d+e%26f");
}

#[test]
fn events_are_read_as_the_standard_says() {
    let mut parser = Parser::default();
    let events = parser.push(
        b"\xef\xbb\xbf: hello\n\nid: 1\nevent: line\ndata: {\"a\":1}\n\nid:2\r\nevent:gap\r\n\r\nevent: end\rdata\r\r",
    );
    let end = Event { id: None, name: "end".to_owned(), data: String::new() };
    assert_eq!(events, [event("1", "line", "{\"a\":1}"), event("2", "gap", ""), end]);
}

#[test]
fn several_data_lines_are_one_text_and_an_unfinished_event_waits() {
    let mut parser = Parser::default();
    assert_eq!(parser.push(b"id: 7\ndata: one\ndata:\ndata:  two\n"), []);
    assert_eq!(parser.push(b"\n"), [event("7", "", "one\n\n two")]);
}

/// An event as a server writes it.
fn written(event: &Event, end: &str) -> String {
    let mut text = String::new();
    if let Some(id) = &event.id {
        text.push_str(&format!("id: {id}{end}"));
    }
    text.push_str(&format!("event: {}{end}", event.name));
    for line in event.data.split('\n') {
        text.push_str(&format!("data: {line}{end}"));
    }
    text.push_str(&format!(": comment{end}{end}"));
    text
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = (proptest::option::of("[a-z0-9]{1,8}"), "[a-z]{1,6}", "[^\r\u{0}]{0,40}");
    let one = one.prop_map(|(id, name, data)| Event { id, name, data });
    proptest::collection::vec(one, 0..8)
}

proptest! {
    #[test]
    fn however_bytes_are_cut_the_same_events_come(
        events in events(),
        end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        cuts in proptest::collection::vec(1usize..9, 1..40),
    ) {
        let text: String = events.iter().map(|event| written(event, end)).collect();
        let mut rest = text.as_bytes();
        let (mut parser, mut seen) = (Parser::default(), Vec::new());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            seen.extend(parser.push(piece));
            rest = after;
        }
        prop_assert_eq!(seen, events);
    }

    #[test]
    fn no_bytes_break_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        Parser::default().push(&bytes);
    }
}

/// A server and its client.
async fn served() -> (TcpListener, Api) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = Api::new(&format!("http://{}", listener.local_addr().unwrap()), "k").unwrap();
    (listener, api)
}

/// Reads a request whole; its head comes back.
async fn asked(listener: &TcpListener) -> (TcpStream, String) {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |text| text.parse().unwrap())];
    socket.read_exact(&mut body).await.unwrap();
    (socket, head)
}

async fn answer(mut socket: TcpStream, status: &str, body: &Value) {
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close", body.len());
    socket.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
}

fn key_of(head: &str) -> &str {
    head.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).unwrap()
}

#[tokio::test]
async fn a_wish_whose_answer_is_lost_is_sent_again_as_the_same() {
    let (listener, api) = served().await;
    let server = async {
        // It was taken, and the answer is lost.
        let (lost, first) = asked(&listener).await;
        drop(lost);
        let (socket, again) = asked(&listener).await;
        answer(socket, "202 Accepted", &json!({"id": "dep_1"})).await;
        let (socket, other) = asked(&listener).await;
        answer(socket, "202 Accepted", &json!({"id": "dep_2"})).await;
        [first, again, other]
    };
    let person = async {
        let wish = json!({"environment": "production"});
        let one = api.post("/projects/shop/deployments", &wish).await.unwrap();
        [one, api.post("/projects/shop/deployments", &wish).await.unwrap()]
    };
    let ([first, again, other], got) = tokio::join!(server, person);
    assert_eq!(key_of(&first), key_of(&again));
    assert_ne!(key_of(&first), key_of(&other), "another wish is another one");
    assert_eq!(got, [json!({"id": "dep_1"}), json!({"id": "dep_2"})]);
}

#[tokio::test]
async fn a_page_is_there_before_the_next_is_asked_for() {
    let (listener, api) = served().await;
    let seen = std::cell::RefCell::new(Vec::new());
    let server = async {
        let (socket, _) = asked(&listener).await;
        answer(socket, "200 OK", &json!({"items": [1, 2], "next_cursor": "c"})).await;
        let (socket, second) = asked(&listener).await;
        assert_eq!(*seen.borrow(), [1, 2], "the first page is out");
        assert!(second.contains("cursor=c"), "{second}");
        answer(socket, "400 Bad Request", &json!({"detail": "no"})).await;
    };
    let reader = api.pages("/builds/bld_1/logs", usize::MAX, |page| {
        seen.borrow_mut().extend(page.iter().map(|item| item.as_i64().unwrap()));
    });
    let ((), read) = tokio::join!(server, reader);
    assert!(read.is_err());
}
