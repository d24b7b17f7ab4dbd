//! Phase one: whatever two programs might read in two ways is refused.
//!
//! hyper refuses by itself: space before a colon, folded lines, control characters, differing or
//! malformed lengths, a transfer coding that is not `chunked` or comes with HTTP/1.0. What it
//! lets pass and we do not: `Content-Length` next to `Transfer-Encoding`, a coding before
//! `chunked`, more than one `Host`, a `Host` that is none, a target of another host or that is
//! no path, CONNECT. Each has its probe in `tests/probes.txt`.

use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, Request, Uri, Version};

use crate::answer::Refusal;
use crate::connection::Client;
use crate::routes::host;

/// Where a request wants to go.
#[derive(Debug, Clone)]
pub struct Target {
    /// The host in its normal form.
    pub name: Box<str>,
    /// The host as it was written.
    pub written: HeaderValue,
}

/// Checks the head and leaves the request in origin form.
///
/// # Errors
/// [`Refusal::BadRequest`] and the connection closes after it.
pub fn check(request: &mut Request<Incoming>, client: &Client) -> Result<Target, Refusal> {
    let framing_is_plain = plain_framing(request, client);
    if !framing_is_plain {
        return Err(Refusal::BadRequest("the body has two lengths, or codings beside `chunked`"));
    }
    if request.method() == Method::CONNECT {
        return Err(Refusal::BadRequest("CONNECT is not served here"));
    }
    let target = target(request)?;
    if request.uri().scheme().is_some() || request.uri().authority().is_some() {
        *request.uri_mut() = origin_form(request.uri());
    }
    *request.version_mut() = Version::HTTP_11;
    Ok(target)
}

fn plain_framing(request: &Request<Incoming>, client: &Client) -> bool {
    let headers = request.headers();
    if !headers.contains_key(TRANSFER_ENCODING) {
        return headers.get_all(CONTENT_LENGTH).iter().count() < 2;
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    // hyper undoes the last coding alone, and takes a length away without a word: what is before
    // `chunked` would be lost, and the raw head says whether there was a length.
    codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none()
        && !headers.contains_key(CONTENT_LENGTH)
        && client.tap.with_head(|head| is_chunked_alone(head, request))
}

/// Whether the bytes are the head of this very request and name no length. A head that cannot be
/// found (a pipelined upload) is refused too: who pipelines uploads probes.
fn is_chunked_alone(raw: &[u8], request: &Request<Incoming>) -> bool {
    let mut lines =
        raw.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    // The rest of a head may look like one, but no field name is followed by a space.
    let method = request.method().as_str().as_bytes();
    let is_first =
        |line: &[u8]| line.strip_prefix(method).is_some_and(|rest| rest.starts_with(b" "));
    if !lines.next().is_some_and(is_first) {
        return false;
    }
    for line in lines {
        if line.is_empty() {
            return true;
        }
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        if name.eq_ignore_ascii_case(b"content-length") {
            return false;
        }
    }
    false
}

fn target(request: &Request<Incoming>) -> Result<Target, Refusal> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let Some(written) = hosts.next() else {
        return Err(Refusal::BadRequest("the Host header is missing"));
    };
    if hosts.next().is_some() {
        return Err(Refusal::BadRequest("there is more than one Host header"));
    }
    let bad = Refusal::BadRequest("the Host header names no host");
    let name = host::parse(written.to_str().map_err(|_| bad)?).ok_or(bad)?;
    let uri = request.uri();
    if let Some(authority) = uri.authority() {
        let same = host::parse(authority.as_str()).is_some_and(|other| other.name == name.name);
        if !same || uri.scheme_str() != Some("http") {
            return Err(Refusal::BadRequest("the target and the Host header differ"));
        }
    } else if uri.path() == "*" && request.method() != Method::OPTIONS {
        return Err(Refusal::BadRequest("the target is no path"));
    }
    Ok(Target { name: name.name.into(), written: written.clone() })
}

fn origin_form(uri: &Uri) -> Uri {
    uri.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from)
}
