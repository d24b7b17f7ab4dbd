//! The table of every stable setting.

/// A stable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The name in the environment; `--api-address` as a flag, `api_address` in the file.
    pub name: &'static str,
    /// What it is when nobody sets it.
    pub default: Option<&'static str>,
    /// One line for people.
    pub help: &'static str,
    /// Its value is never shown, never a flag, and may come from a file named by `<name>_FILE`.
    pub secret: bool,
}

const fn plain(name: &'static str, default: Option<&'static str>, help: &'static str) -> Setting {
    Setting { name, default, help, secret: false }
}

const fn secret(name: &'static str, help: &'static str) -> Setting {
    Setting { name, default: None, help, secret: true }
}

/// Every setting, in the order of the documentation.
pub const KNOWN: &[Setting] = &[
    plain("ZEITWORK_STATE_DIR", Some(".zeitwork"), "directory of keys, data and last targets"),
    plain("ZEITWORK_CONFIG", None, "TOML file with settings (lowest layer)"),
    secret("ZEITWORK_DATABASE_URL", "PostgreSQL; unset: a private one in the state directory"),
    secret("ZEITWORK_REDIS_URL", "Redis for shared rate limits; unset: none"),
    plain("ZEITWORK_API_ADDRESS", Some("127.0.0.1:7070"), "addresses of the API"),
    plain("ZEITWORK_OPERATOR_ADDRESS", Some("127.0.0.1:7071"), "operator's health and metrics"),
    plain("ZEITWORK_NODE_ADDRESS", Some("127.0.0.1:7072"), "node agent's health and metrics"),
    plain("ZEITWORK_EDGE_ADMIN_ADDRESS", Some("127.0.0.1:7073"), "edge's health and metrics"),
    plain("ZEITWORK_EDGE_HTTP_ADDRESS", Some("0.0.0.0:8080"), "edge's addresses for HTTP"),
    plain("ZEITWORK_EDGE_HTTPS_ADDRESS", Some("0.0.0.0:8443"), "edge's addresses for HTTPS"),
    plain("ZEITWORK_BASE_DOMAIN", Some("localhost"), "domain under which apps get their names"),
    plain("ZEITWORK_PUBLIC_URL", None, "URL of the API for the world; links use it"),
    plain("ZEITWORK_NETWORK_POOL", None, "network from which instances get addresses"),
    plain("ZEITWORK_EGRESS_ALLOW", None, "private networks that builds and instances may reach"),
    plain("ZEITWORK_BUILD_DISK_FLOOR_MB", Some("2000"), "disk that must be free for a build"),
    plain(
        "ZEITWORK_NODE_NAME",
        None,
        "name of this node; unset: the one it joined with, at first the host's",
    ),
    plain("ZEITWORK_NODE_KEY_FILE", None, "file of this node's private key"),
    secret("ZEITWORK_JOIN_TOKEN", "token with which a node joins, once"),
    plain("ZEITWORK_MASTER_KEY_FILE", None, "file of the master key; made on first start"),
    secret("ZEITWORK_OWNER_KEY", "the owner's first API key; unset: made on first start"),
    plain("ZEITWORK_GITHUB_URL", Some("https://github.com"), "GitHub or an Enterprise Server"),
    plain("ZEITWORK_GITHUB_API_URL", Some("https://api.github.com"), "its REST API"),
    plain("ZEITWORK_GITHUB_APP_ID", None, "numeric id of the GitHub App"),
    plain("ZEITWORK_GITHUB_PRIVATE_KEY_FILE", None, "file of the GitHub App's private key"),
    secret("ZEITWORK_GITHUB_WEBHOOK_SECRET", "webhook secret; two, comma-separated, to rotate"),
    plain("ZEITWORK_GIT_INSECURE_HOSTS", None, "host:port pairs to clone from without TLS"),
    plain("ZEITWORK_API_URL", None, "where the CLI finds the API"),
    secret("ZEITWORK_API_KEY", "key of the CLI"),
    plain("DOCKER_HOST", Some("unix:///var/run/docker.sock"), "socket of Docker Engine"),
    plain("OTEL_EXPORTER_OTLP_ENDPOINT", None, "where traces go; unset: nowhere"),
    plain("RUST_LOG", Some("info"), "what is logged"),
];

/// Stable names that nothing reads yet.
pub(super) const UNUSED: &[&str] =
    &["ZEITWORK_REDIS_URL", "ZEITWORK_EDGE_HTTPS_ADDRESS", "ZEITWORK_JOIN_TOKEN"];

/// The table's row of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    KNOWN.iter().find(|setting| setting.name == name)
}

/// The row of a name or of the `…_FILE` form of a secret.
pub(super) fn find_with_file(name: &str) -> Option<(&'static Setting, bool)> {
    if let Some(setting) = find(name) {
        return Some((setting, false));
    }
    let setting = find(name.strip_suffix("_FILE")?)?;
    setting.secret.then_some((setting, true))
}

/// Names that container engines and Kubernetes put into the environment because a neighbour is
/// called "zeitwork…"; nobody wrote them as a setting.
pub(super) fn is_made_by_a_link(name: &str, value: &str) -> bool {
    let url = value.starts_with("tcp://") || value.starts_with("udp://");
    (name.ends_with("_PORT") && url)
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_NAME") && value.starts_with('/'))
        || name.contains("_ENV_")
        || is_link_port(name)
}

/// `…_PORT_7070_TCP`, also with `_ADDR`, `_PORT` or `_PROTO`.
fn is_link_port(name: &str) -> bool {
    name.match_indices("_PORT_").any(|(at, found)| {
        let rest = name[at + found.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
        rest.starts_with("_TCP") || rest.starts_with("_UDP")
    })
}

/// The known name that somebody most likely meant.
pub(super) fn closest(name: &str) -> Option<&'static str> {
    let distance = |known: &Setting| (distance(known.name, name), known.name);
    KNOWN.iter().map(distance).min().filter(|(steps, _)| *steps <= 3).map(|(_, known)| known)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
