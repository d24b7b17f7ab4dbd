//! Header hygiene in both directions (RFC 9110 §7.6.1, RFC 7239).

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, TE, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Request, Response, StatusCode};

use super::normalize::Target;
use super::trace;
use crate::answer::ZEITWORK_ANSWER;
use crate::connection::Client;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What only we may say to an instance. `Proxy` would become `HTTP_PROXY` in CGI programs.
const OURS: [&str; 7] = [
    "forwarded",
    "x-real-ip",
    "proxy",
    "x-original-url",
    "x-rewrite-url",
    "true-client-ip",
    "x-client-ip",
];
const OUR_PREFIXES: [&str; 2] = ["x-forwarded", "zeitwork-"];
/// Standard names whose alias with underscores some servers read as the name itself.
const ALIASED: [&str; 9] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "content-type",
    "authorization",
    "x-request-id",
    "upgrade",
    "te",
];
/// What a `Connection` header must not take away from a request.
const KEPT: [HeaderName; 4] =
    [HOST, CONTENT_LENGTH, hyper::header::AUTHORIZATION, hyper::header::COOKIE];

/// Makes the head that the instance gets.
pub fn towards_instance<B>(
    request: &mut Request<B>,
    target: &Target,
    client: &Client,
    upgrade: Option<&HeaderValue>,
) {
    let headers = request.headers_mut();
    let trailers = headers.get_all(TE).iter().any(|value| names_token(value, "trailers"));
    remove_hop_by_hop(headers, &KEPT);
    headers.remove(EXPECT);
    drop_claims(headers);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    headers.insert(FORWARDED_FOR, client.address.clone());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(FORWARDED_HOST, target.written.clone());
    headers.insert(FORWARDED_PORT, client.port.clone());
    if let Some(forwarded) = forwarded(client, target) {
        headers.insert(FORWARDED, forwarded);
    }
    trace::propagate(headers);
}

/// Makes the head that the client gets. `cookie_guard`: the host, where it is on a shared domain.
pub fn towards_client<B>(response: &mut Response<B>, cookie_guard: Option<&str>) {
    let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    // A message with both is read by its coding; the length would be a second truth.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    let protocol = headers.get(UPGRADE).filter(|_| upgraded).cloned();
    remove_hop_by_hop(headers, &[CONTENT_LENGTH]);
    headers.remove(ZEITWORK_ANSWER);
    if let Some(protocol) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    if let Some(host) = cookie_guard {
        guard_cookies(headers, host);
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap, kept: &[HeaderName]) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .filter(|name| !kept.contains(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
}

/// Removes what a client claims in our name, also spelled with underscores.
fn drop_claims(headers: &mut HeaderMap) {
    let claims: Vec<HeaderName> =
        headers.keys().filter(|name| is_claim(name.as_str())).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

/// Whether only we may send the header to an instance.
#[must_use]
pub fn is_claim(name: &str) -> bool {
    if !name.contains('_') {
        return is_ours(name);
    }
    let plain = name.replace('_', "-");
    is_ours(&plain) || ALIASED.contains(&plain.as_str())
}

fn is_ours(name: &str) -> bool {
    OURS.contains(&name) || OUR_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn forwarded(client: &Client, target: &Target) -> Option<HeaderValue> {
    let host = target.written.to_str().ok()?;
    let text = format!("for={};host=\"{host}\";proto=http", client.node);
    HeaderValue::from_str(&text).ok()
}

fn names_token(value: &HeaderValue, token: &str) -> bool {
    value.to_str().is_ok_and(|value| {
        value.split(',').any(|part| {
            part.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(token)
        })
    })
}

/// Drops cookies for another domain than the host itself: on the shared base domain a cookie for
/// the parent would reach every project.
fn guard_cookies(headers: &mut HeaderMap, host: &str) {
    let foreign = |value: &HeaderValue| {
        cookie_domains(value.as_bytes()).any(|domain| !domain.eq_ignore_ascii_case(host))
    };
    if !headers.get_all(SET_COOKIE).iter().any(foreign) {
        return;
    }
    let kept: Vec<HeaderValue> =
        headers.get_all(SET_COOKIE).iter().filter(|value| !foreign(value)).cloned().collect();
    headers.remove(SET_COOKIE);
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
}

/// The `Domain` attributes of a cookie, without leading dot (RFC 6265 §5.2.3).
fn cookie_domains(cookie: &[u8]) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
    cookie.split(|&byte| byte == b';').skip(1).filter_map(|attribute| {
        let mut parts = attribute.splitn(2, |&byte| byte == b'=');
        let name = parts.next()?.trim_ascii();
        if !name.eq_ignore_ascii_case(b"domain") {
            return None;
        }
        let value = parts.next().unwrap_or_default().trim_ascii();
        let value = value.strip_prefix(b".").unwrap_or(value);
        // An empty domain means the host itself.
        (!value.is_empty()).then(|| String::from_utf8_lossy(value))
    })
}
