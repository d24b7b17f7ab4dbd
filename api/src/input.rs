//! Rules of input that more than one handler needs. Each text is one that a person can act on.

use std::borrow::Borrow;

use garde::Error;
use url::Url;

/// A rule for what may be absent.
pub fn option<T: Borrow<U>, U: ?Sized, C>(
    rule: impl Fn(&U, &C) -> garde::Result,
) -> impl Fn(&Option<T>, &C) -> garde::Result {
    move |value, context| value.as_ref().map_or(Ok(()), |value| rule(value.borrow(), context))
}

/// A rule for what may be absent, or null.
pub fn change<T: Borrow<U>, U: ?Sized, C>(
    rule: impl Fn(&U, &C) -> garde::Result,
) -> impl Fn(&Option<Option<T>>, &C) -> garde::Result {
    let rule = option(rule);
    move |value, context| value.as_ref().map_or(Ok(()), |value| rule(value, context))
}

/// A name for people: 1–100 characters, no control characters.
pub fn title(text: &str, (): &()) -> garde::Result {
    if text.trim().is_empty() || text.chars().count() > 100 {
        return Err(Error::new("must have 1 to 100 characters"));
    }
    plain(text)
}

/// A slug.
pub fn slug(text: &str, (): &()) -> garde::Result {
    zeitwork_model::name::check_slug(text).map_err(|rule| Error::new(rule.to_string()))
}

/// No control characters (they end lines in logs and terminals, and NUL ends strings).
fn plain(text: &str) -> garde::Result {
    if text.chars().any(char::is_control) {
        return Err(Error::new("must not contain control characters"));
    }
    Ok(())
}

/// A path inside a checkout: relative, without `..`.
pub fn inner_path(text: &str, (): &()) -> garde::Result {
    if text.len() > 400 {
        return Err(Error::new("must have at most 400 bytes"));
    }
    plain(text)?;
    let leaves = text.starts_with('/') || text.split('/').any(|part| part == "..");
    if leaves || text.contains('\\') || text.starts_with('-') {
        return Err(Error::new("must be a path inside the repository, like apps/web"));
    }
    Ok(())
}

/// A path of a file inside a checkout.
pub fn inner_file(text: &str, context: &()) -> garde::Result {
    if text.is_empty() || text.ends_with('/') {
        return Err(Error::new("must name a file, like Dockerfile"));
    }
    inner_path(text, context)
}

/// The rules of `git check-ref-format` that matter for a branch or tag, of which `*` is
/// forbidden there and a wildcard in ours.
pub fn reference(text: &str, (): &()) -> garde::Result {
    reference_or_pattern(text, false)
}

/// A branch name in which `*` and `**` stand for anything.
pub fn branch_pattern(text: &str, (): &()) -> garde::Result {
    reference_or_pattern(text, true)
}

fn reference_or_pattern(text: &str, pattern: bool) -> garde::Result {
    if text.is_empty() || text.len() > 255 {
        return Err(Error::new("must have 1 to 255 bytes"));
    }
    let forbidden =
        |c: char| c.is_control() || c == ' ' || "~^:?[\\".contains(c) || (c == '*' && !pattern);
    let bad_part = |part: &str| {
        part.is_empty() || part.starts_with('.') || part.strip_suffix(".lock").is_some()
    };
    let broken = text.chars().any(forbidden)
        || text.contains("..")
        || text.contains("@{")
        || text.starts_with('-')
        || text.ends_with('.')
        || text == "@"
        || text.split('/').any(bad_part);
    if broken {
        return Err(Error::new("is no name that git allows for a branch or tag"));
    }
    Ok(())
}

/// A full commit id.
pub fn commit(text: &str, (): &()) -> garde::Result {
    if zeitwork_model::commit::is_commit_id(text) {
        return Ok(());
    }
    Err(Error::new("must be a full commit id: 40 or 64 hexadecimal characters in lower case"))
}

/// A command as an argument list.
pub fn command(arguments: &[String], (): &()) -> garde::Result {
    if arguments.len() > 64 || arguments.iter().any(|it| it.len() > 4096 || it.contains('\0')) {
        return Err(Error::new("must have at most 64 arguments of 4096 bytes, without NUL"));
    }
    if arguments.first().is_some_and(String::is_empty) {
        return Err(Error::new("must begin with a program"));
    }
    Ok(())
}

/// The path of an HTTP check.
pub fn health_path(text: &str, (): &()) -> garde::Result {
    let legal = text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if !text.starts_with('/') || text.len() > 1024 || !legal {
        return Err(Error::new("must be a path like /health, percent-encoded"));
    }
    Ok(())
}

/// `owner/name` of GitHub.
pub fn is_repository(text: &str) -> bool {
    let Some((owner, name)) = text.split_once('/') else { return false };
    let owner_legal = owner.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let name_legal = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    (1..=39).contains(&owner.len())
        && (1..=100).contains(&name.len())
        && owner_legal
        && name_legal
        && !owner.starts_with('-')
        && !matches!(name, "." | "..")
        && !name.starts_with('-')
}

/// Reads the URL of a repository: HTTPS, or HTTP for the hosts that the operator listed; never
/// with credentials.
///
/// # Errors
/// What is wrong with it, for people.
pub fn repository_url(text: &str, insecure_hosts: &[String]) -> Result<Url, &'static str> {
    if text.len() > 2048 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("must have at most 2048 bytes, without spaces and control characters");
    }
    // Written out, so that nothing is left to the leniency of the parser (`https:\\host`).
    if !text.starts_with("https://") && !text.starts_with("http://") {
        return Err("must begin with https://");
    }
    let url = Url::parse(text).map_err(|_| "is no URL")?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("names no host")?;
    if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
        return Err("must not contain credentials");
    }
    if url.query().is_some() || url.fragment().is_some() || url.path() == "/" {
        return Err("must lead to a repository, without query and fragment");
    }
    let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
    if url.scheme() == "http" && !insecure_hosts.contains(&with_port) {
        return Err("must use https: plain http is not safe for this host");
    }
    Ok(url)
}

/// A TCP port.
pub fn port(port: &u16, (): &()) -> garde::Result {
    if *port == 0 { Err(Error::new("must be between 1 and 65535")) } else { Ok(()) }
}

/// The value of a variable.
pub fn variable_value(value: &str, (): &()) -> garde::Result {
    if value.len() > 64 * 1024 || value.contains('\0') {
        return Err(Error::new("must have at most 65536 bytes, without NUL"));
    }
    Ok(())
}
