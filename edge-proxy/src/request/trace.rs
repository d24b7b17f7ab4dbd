//! Request id and W3C trace context (<https://www.w3.org/TR/trace-context/>).

use hyper::Request;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use zeitwork_model::id::RequestId;

/// The request's id, in requests and answers.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const ID_LENGTH: usize = 128;

/// The caller's id where it is a plain word, else a new one; the request carries it from now on.
pub fn request_id<B>(request: &mut Request<B>) -> HeaderValue {
    let mut ids = request.headers().get_all(&X_REQUEST_ID).iter();
    if let (Some(id), None) = (ids.next(), ids.next())
        && is_word(id.as_bytes())
    {
        return id.clone();
    }
    let id = new_id();
    request.headers_mut().insert(X_REQUEST_ID, id.clone());
    id
}

/// An id for what came without one.
#[must_use]
pub fn new_id() -> HeaderValue {
    let id = RequestId::new().to_string();
    HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

fn is_word(id: &[u8]) -> bool {
    (1..=ID_LENGTH).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// Keeps a valid trace context and begins one (not sampled) where there is none.
pub fn propagate(headers: &mut HeaderMap) {
    let mut parents = headers.get_all(&TRACEPARENT).iter();
    let valid = matches!(
        (parents.next(), parents.next()),
        (Some(parent), None) if is_traceparent(parent.as_bytes())
    );
    if valid {
        return;
    }
    headers.remove(&TRACESTATE);
    // Only the random half of the id's bits may be the parent: it must not be zero.
    let trace = RequestId::new().0;
    let text = format!("00-{}-{:016x}-00", trace.simple(), trace.as_u64_pair().1);
    if let Ok(parent) = HeaderValue::from_str(&text) {
        headers.insert(TRACEPARENT, parent);
    }
}

fn is_traceparent(value: &[u8]) -> bool {
    let mut parts = value.split(|&byte| byte == b'-');
    let mut part = |length: usize| {
        parts.next().filter(|part| {
            part.len() == length
                && part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let not_zero = |part: &[u8]| part.iter().any(|&byte| byte != b'0');
    let (Some(version), Some(trace), Some(parent), Some(_flags)) =
        (part(2), part(32), part(16), part(2))
    else {
        return false;
    };
    version != b"ff"
        && not_zero(trace)
        && not_zero(parent)
        && (version != b"00" || parts.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_words_are_kept_as_ids() {
        for (given, kept) in [("abc-1.2_3", true), ("", false), ("a b", false), ("a\"b", false)] {
            let mut request = Request::new(());
            request.headers_mut().insert(X_REQUEST_ID, given.parse().unwrap());
            let id = request_id(&mut request);
            assert_eq!(id == given, kept, "{given}");
            assert_eq!(request.headers()[X_REQUEST_ID], id);
        }
    }

    #[test]
    fn a_trace_goes_on_or_begins() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let zero = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        let upper = "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01";
        let long = format!("{good}-x");
        for (given, kept) in
            [(good, true), (zero, false), (upper, false), (&long, false), ("x", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, given.parse().unwrap());
            headers.insert(TRACESTATE, "a=b".parse().unwrap());
            propagate(&mut headers);
            assert_eq!(headers[TRACEPARENT] == given, kept, "{given}");
            assert_eq!(headers.contains_key(TRACESTATE), kept);
            assert!(is_traceparent(headers[TRACEPARENT].as_bytes()));
        }
    }
}
