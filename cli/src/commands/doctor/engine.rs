//! Docker Engine: whether it answers, and how it is set up.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::Finding;
use super::host::in_path;
use crate::session::text;
use crate::supervise::engine::{answers, socket};

const CHECK: &str = "engine";
const LIMIT: Duration = Duration::from_secs(5);
/// More than this is no answer of an engine.
const ANSWER_MAXIMUM: u64 = 4 << 20;
/// Oldest engine that the agent was tried with.
const OLDEST_MAJOR: u32 = 20;
/// What the sample and the tests are built from.
const BASE_IMAGE: &str = "busybox:latest";

/// What there is to say, and where the engine keeps its images.
pub struct Engine {
    /// What was found.
    pub findings: Vec<Finding>,
    /// Its directory, where it answers.
    pub root: Option<PathBuf>,
}

/// Looks at the engine.
pub async fn look() -> Engine {
    let socket = match socket() {
        Ok(socket) => socket,
        Err(error) => return none(Finding::wrong(CHECK, error.to_string(), "unset DOCKER_HOST")),
    };
    if !answers(&socket).await {
        return none(silent(&socket));
    }
    let Some(info) = get(&socket, "/info").await else {
        let detail = format!("{} answers, but says nothing of itself", socket.display());
        return none(Finding::wrong(CHECK, detail, "restart the engine and look at its log"));
    };
    let mut findings = vec![version(&info)];
    findings.push(live_restore(&info));
    findings.push(match get(&socket, &format!("/images/{BASE_IMAGE}/json")).await {
        Some(_) => Finding::ok("base image", format!("{BASE_IMAGE} is there")),
        None => Finding::ok(
            "base image",
            format!("{BASE_IMAGE} is not there: `make up` makes it for the sample"),
        ),
    });
    let root = Some(text(&info, "/DockerRootDir")).filter(|root| !root.is_empty());
    Engine { findings, root: root.map(PathBuf::from) }
}

fn none(finding: Finding) -> Engine {
    Engine { findings: vec![finding], root: None }
}

fn silent(socket: &Path) -> Finding {
    let detail = format!("no Docker Engine answers on {}", socket.display());
    if socket.exists() && std::os::unix::net::UnixStream::connect(socket).is_err() {
        let remedy = "become root or a member of its group, or start it: systemctl start docker";
        return Finding::wrong(CHECK, detail, remedy);
    }
    if in_path("dockerd") {
        Finding::hint(CHECK, detail, "nothing: `zeitwork up` starts dockerd as root")
    } else {
        Finding::wrong(CHECK, detail, "install it: apt-get install docker.io")
    }
}

fn version(info: &Value) -> Finding {
    let version = text(info, "/ServerVersion");
    let detail = format!("Docker Engine {version} ({})", text(info, "/Driver"));
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major < OLDEST_MAJOR => {
            Finding::wrong(CHECK, detail, format!("update it to {OLDEST_MAJOR}.10 or newer"))
        }
        _ => Finding::ok(CHECK, detail),
    }
}

fn live_restore(info: &Value) -> Finding {
    const NAME: &str = "live-restore";
    if info.get("LiveRestoreEnabled").and_then(Value::as_bool).unwrap_or_default() {
        return Finding::ok(NAME, "instances survive a restart of the engine");
    }
    let remedy =
        r#"put {"live-restore": true} into /etc/docker/daemon.json, then: systemctl reload docker"#;
    Finding::hint(NAME, "a restart of the engine stops every instance", remedy)
}

/// A GET of the engine's API; none where there is no good answer.
async fn get(socket: &Path, path: &str) -> Option<Value> {
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await.ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: engine\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAXIMUM).read_to_end(&mut answer).await.ok()?;
        body(&answer)
    };
    tokio::time::timeout(LIMIT, exchange).await.ok().flatten()
}

/// The JSON of a 200; HTTP/1.0 knows no chunks.
pub fn body(answer: &[u8]) -> Option<Value> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = answer.get(..end)?;
    if head.split(|&byte| byte == b' ').nth(1)? != b"200" {
        return None;
    }
    serde_json::from_slice(answer.get(end + 4..)?).ok()
}
