//! Problems of the API (`application/problem+json`) as sentences.

use serde_json::Value;

/// What to do where the API does not know who asks.
const UNKNOWN_KEY: &str = "the API does not know this key, or it was revoked: set \
                           ZEITWORK_API_KEY or ZEITWORK_API_KEY_FILE to another";

/// What is wrong, each field that is wrong, and the request's id.
pub fn sentence(status: u16, body: &Value, header_id: Option<&str>) -> String {
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|it| !it.is_empty());
    let errors = body.get("errors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut sentence = match text("code") {
        Some("unauthenticated") => UNKNOWN_KEY.to_owned(),
        // The errors are the whole sentence.
        Some("validation_failed") if !errors.is_empty() => String::new(),
        _ => text("detail")
            .or_else(|| text("title"))
            .map_or_else(|| format!("the API answered {status}"), str::to_owned),
    };
    for error in errors {
        let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        let field = part("pointer").trim_start_matches('/').replace('/', ".");
        let joint = match sentence.chars().last() {
            None => "",
            Some('.' | '!' | '?') => " ",
            Some(_) => ": ",
        };
        sentence.push_str(&format!("{joint}{field} {}", part("detail")));
        if !sentence.ends_with('.') {
            sentence.push('.');
        }
    }
    let code = text("code").map_or_else(|| status.to_string(), |code| format!("{status} {code}"));
    let id = text("request_id").or(header_id);
    let id = id.map(|id| format!(", request {id}")).unwrap_or_default();
    format!("{sentence} ({code}{id})")
}

/// The checks that an answer of `/readyz` names, with what is wrong about each.
pub fn checks(body: &Value) -> String {
    let errors = body.get("errors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let named = errors.iter().map(|error| {
        let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        format!("{}: {}", part("pointer").trim_start_matches("/checks/"), part("detail"))
    });
    let named: Vec<String> = named.collect();
    if named.is_empty() { "it does not say why".to_owned() } else { named.join("; ") }
}
