//! Names of hosts as the table knows them: lower case, without port and trailing dot.

use std::borrow::Cow;

/// RFC 1035: at most 253 octets without the trailing dot, 63 in a label.
const NAME_LENGTH: usize = 253;
const LABEL_LENGTH: usize = 63;

/// A valid `Host` in its two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host<'a> {
    /// Lower case, without trailing dot; an IPv6 address keeps its brackets.
    pub name: Cow<'a, str>,
    /// The port, where one was named.
    pub port: Option<u16>,
}

/// Reads a `Host` value or the authority of a URI (RFC 9110 §7.2). `None`: not a host.
/// Stricter than the RFC: no user part, no percent-encoding, no empty label.
#[must_use]
pub fn parse(text: &str) -> Option<Host<'_>> {
    let (name, port) = split_port(text)?;
    if name.starts_with('[') {
        let address = name.strip_prefix('[')?.strip_suffix(']')?;
        let address: std::net::Ipv6Addr = address.parse().ok()?;
        return Some(Host { name: Cow::Owned(format!("[{address}]")), port });
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > NAME_LENGTH || !name.split('.').all(is_label) {
        return None;
    }
    let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    };
    Some(Host { name, port })
}

fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let name_end = if text.starts_with('[') { text.find(']')? + 1 } else { 0 };
    let Some(colon) = text[name_end..].find(':') else { return Some((text, None)) };
    let (name, port) = (&text[..name_end + colon], &text[name_end + colon + 1..]);
    if port.is_empty() {
        return Some((name, None));
    }
    let digits = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    Some((name, Some(digits.then(|| port.parse().ok())??)))
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_LENGTH).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_host_has_one_name() {
        for text in ["app.localhost", "App.LocalHost", "app.localhost:8080", "app.localhost."] {
            assert_eq!(parse(text).unwrap().name, "app.localhost", "{text}");
        }
        assert_eq!(parse("app.localhost.:80").unwrap().port, Some(80));
        assert_eq!(parse("[0:0::1]:80").unwrap().name, "[::1]");
        assert_eq!(parse("a:").unwrap().port, None);
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a".repeat(64);
        for text in [
            "", ".", "a..b", "a..", "a b", "a,b", "a/b", "a@b", "a:x", "a:80:81", "a:65536",
            "a:-1", "a:+1", "[::1", "[::1]x", "[a]", "a%2eb", "é.de", "a\t", "a#b", "a?b", "a\\b",
            &long,
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_its_own_name(text in "\\PC{0,40}") {
            if let Some(host) = parse(&text) {
                let again = parse(&host.name).expect("a name is a host");
                prop_assert_eq!(&again.name, &host.name);
                prop_assert_eq!(again.port, None);
                prop_assert!(!host.name.bytes().any(|byte| byte.is_ascii_uppercase()));
            }
        }

        #[test]
        fn case_port_and_dot_do_not_matter(
            name in "[a-z0-9]{1,8}(\\.[a-z0-9-]{1,8}){0,3}", port in 0u16.., dot: bool, upper: bool,
        ) {
            let dot = if dot { "." } else { "" };
            let written = if upper { name.to_ascii_uppercase() } else { name.clone() };
            let text = format!("{written}{dot}:{port}");
            let host = parse(&text).expect("a host");
            prop_assert_eq!(host.name.as_ref(), name.as_str());
            prop_assert_eq!(host.port, Some(port));
        }
    }
}
