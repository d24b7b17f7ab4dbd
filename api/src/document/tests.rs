use std::collections::BTreeSet;

use serde_json::Value;
use zeitwork_web::Code;

fn document() -> Value {
    serde_json::from_str(&super::openapi_json().unwrap()).unwrap()
}

/// Each operation with its method.
fn operations(document: &Value) -> Vec<(String, Value)> {
    let paths = document["paths"].as_object().unwrap().values();
    let all = paths.flat_map(|item| item.as_object().unwrap().clone());
    all.collect()
}

/// What a reference leads to, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(path) => document.pointer(path.trim_start_matches('#')).expect("it leads somewhere"),
        None => value,
    }
}

fn parameters<'a>(document: &'a Value, operation: &'a Value) -> Vec<&'a Value> {
    let all = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().map(|parameter| resolved(document, parameter)).collect()
}

#[test]
fn every_write_that_needs_a_key_takes_an_idempotency_key_and_nothing_else_does() {
    let document = document();
    for (method, operation) in operations(&document) {
        let takes =
            parameters(&document, &operation).iter().any(|it| it["name"] == "Idempotency-Key");
        let keyed = operation["security"].is_null();
        assert_eq!(takes, keyed && method != "get", "{}", operation["operationId"]);
    }
}

#[test]
fn every_answer_names_its_headers() {
    let document = document();
    for (_, operation) in operations(&document) {
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let answer = resolved(&document, answer);
            let has = |name: &str| {
                let header = resolved(&document, &answer["headers"][name]);
                header["description"].is_string()
            };
            let place = format!("{} {status}", operation["operationId"]);
            assert!(has("X-Request-Id"), "{place}");
            assert_eq!(has("Location"), ["201", "202"].contains(&status.as_str()), "{place}");
            assert_eq!(has("Retry-After"), ["429", "503"].contains(&status.as_str()), "{place}");
            let error = status.as_str() >= "400";
            assert_eq!(answer["content"]["application/problem+json"].is_object(), error, "{place}");
        }
    }
}

#[test]
fn every_operation_names_the_errors_that_can_happen_to_it() {
    let document = document();
    for (method, operation) in operations(&document) {
        let answers: BTreeSet<&str> =
            operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
        let has = |all: &[&str]| all.iter().all(|status| answers.contains(status));
        let name = &operation["operationId"];
        assert!(has(&["400", "401", "500", "503", "504"]), "{name}: {answers:?}");
        assert_eq!(has(&["415"]), operation["requestBody"].is_object(), "{name}");
        assert_eq!(has(&["413"]), method != "get", "{name}");
        let keyed = operation["security"].is_null();
        assert_eq!(has(&["403", "404", "429"]), keyed, "{name}");
        assert_eq!(has(&["409"]), keyed && method != "get", "{name}");
    }
    assert!(document["components"]["responses"]["MethodNotAllowed"].is_object());
}

#[test]
fn the_code_of_a_problem_is_one_of_the_catalogue() {
    let document = document();
    let body = &document["components"]["schemas"]["ProblemBody"]["properties"]["code"];
    let schema = resolved(&document, body);
    let listed: Vec<&str> =
        schema["enum"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let known: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(listed, known);
    let text = schema["description"].as_str().unwrap();
    for code in Code::ALL {
        let line = format!("`{}` ({}): {}", code.as_str(), code.status().as_u16(), code.advice());
        assert!(text.contains(&line), "{line}");
    }
}

#[test]
fn what_streams_says_so_and_how_it_is_resumed() {
    let document = document();
    let mut streams = 0;
    for (_, operation) in operations(&document) {
        let all = parameters(&document, &operation);
        if !all.iter().any(|it| it["name"] == "tail") {
            continue;
        }
        streams += 1;
        let content = &operation["responses"]["200"]["content"];
        assert!(content["application/json"].is_object(), "{}", operation["operationId"]);
        assert!(content["text/event-stream"].is_object(), "{}", operation["operationId"]);
        assert!(all.iter().any(|it| it["name"] == "Last-Event-ID"));
        let said = operation["responses"]["200"]["description"].as_str().unwrap();
        let one = ["get_build_logs", "get_environment_events"];
        let numbered = one.iter().any(|it| operation["operationId"] == *it);
        let word = if numbered { "a sequence number" } else { "opaque" };
        assert!(said.contains(word), "{said}");
    }
    assert_eq!(streams, 4);
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(document: &Value, value: &Value) {
        resolved(document, value);
        match value {
            Value::Object(fields) => fields.values().for_each(|it| walk(document, it)),
            Value::Array(items) => items.iter().for_each(|it| walk(document, it)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
}
