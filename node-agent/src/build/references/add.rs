//! Knows an `ADD` of a URL. The engine itself fetches it, from the host's network: past every rule
//! that holds for builds, to services on the host's loopback, wherever a redirect leads. A `RUN`
//! that downloads does the same inside the rules, so `ADD` is refused.

/// What the engine takes for an address instead of a path.
const REMOTE: [&str; 5] = ["http://", "https://", "git://", "ssh://", "git@"];

/// Whether the arguments of an `ADD`, without its flags, hold an address as a source, or a variable
/// that could make one.
pub(super) fn is_remote(rest: &str, escape: char) -> bool {
    let words: Vec<String> = match serde_json::from_str(rest.trim()) {
        Ok(words) => words,
        Err(_) => rest
            .split_whitespace()
            .map(|word| word.chars().filter(|&c| c != escape && c != '"' && c != '\'').collect())
            .collect(),
    };
    let (_, sources) = words.split_last().unzip();
    sources.unwrap_or_default().iter().any(|source| could_be_remote(source))
}

/// Whether a source is an address, or begins with a variable in such a way that it could be.
fn could_be_remote(source: &str) -> bool {
    let source = source.to_ascii_lowercase();
    match source.split_once('$') {
        None => REMOTE.iter().any(|remote| source.starts_with(remote)) || is_secure_copy(&source),
        Some((before, _)) => {
            REMOTE.iter().any(|remote| remote.starts_with(before) || before.starts_with(remote))
        }
    }
}

/// `user@host:path`, which newer frontends take for a repository.
fn is_secure_copy(source: &str) -> bool {
    let head = source.split_once(':').map_or("", |(head, _)| head);
    let is_word = |word: &str| {
        !word.is_empty()
            && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    head.split_once('@').is_some_and(|(user, host)| is_word(user) && is_word(host))
}
