//! One line to stand in the world of a build: a GitHub, a repository, the engine, and a node.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use zeitwork_model::environment::Limits;
use zeitwork_model::id::{BuildId, OrganisationId, ProjectId};
use zeitwork_node_agent::build::bases::Pulled;
use zeitwork_node_agent::build::git::GitUser;
use zeitwork_node_agent::build::{BuildParts, BuildStep, build};
use zeitwork_node_agent::logs::{Line, LogSink};
use zeitwork_outbound::Guard;
use zeitwork_protocol::report::BuildOutcome;
use zeitwork_protocol::target::BuildTarget;
use zeitwork_runtime::Lifecycle;
use zeitwork_secrets::PrivateKey;
use zeitwork_stand_ins::engine;
use zeitwork_stand_ins::github::{Github, Options, Repository};

pub const SOCKET: &str = "/var/run/docker.sock";

/// A world of its own; dropped, its images are gone.
pub struct World {
    pub github: Github,
    pub repository: Repository,
    pub parts: BuildParts,
    pub project: ProjectId,
    directory: TempDir,
    lifecycle: Lifecycle,
}

/// What a build came to, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub outcome: BuildOutcome,
    pub lines: Vec<Line>,
    pub steps: Vec<BuildStep>,
}

impl World {
    pub async fn start() -> Self {
        engine::ensure().await.unwrap();
        let github = Github::start(Options::default()).await.unwrap();
        let repository = github.public_repository("acme/shop").await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        // The git user passes through here.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).unwrap();
        let root = nix::unistd::getuid().is_root();
        let parts = BuildParts {
            engine_socket: PathBuf::from(SOCKET),
            work_directory: directory.path().join("builds"),
            git: PathBuf::from("git"),
            git_user: root.then_some(GitUser { uid: 65_534, gid: 65_534 }),
            guard: Guard::new(vec![], vec![github.address.to_string().parse().unwrap()]),
            registries: Guard::new(vec![], vec![]),
            pulled: Arc::new(Pulled::load(directory.path().join("bases.json"))),
            disk_floor: 0,
            installation: BuildId::new().to_string().replace("bld_", "test-"),
            key: Arc::new(PrivateKey::generate().unwrap()),
            cgroup_root: PathBuf::from("/sys/fs/cgroup"),
        };
        Self {
            github,
            repository,
            parts,
            project: ProjectId::new(),
            directory,
            lifecycle: Lifecycle::new(),
        }
    }

    /// Commits and pushes files, and gives the target that builds them. The engine outlives the
    /// test, so its cache must not know this world's steps from an earlier one.
    pub async fn push(&self, files: &[(&str, &str)]) -> BuildTarget {
        let own = format!("\nENV WORLD={}\n", self.parts.installation);
        let own = |content: &str| {
            let from = content.lines().filter(|line| line.starts_with("FROM busybox"));
            from.fold(content.to_owned(), |content, line| {
                content.replacen(&format!("{line}\n"), &format!("{line}{own}"), 1)
            })
        };
        let files: Vec<(&str, String)> =
            files.iter().map(|(path, content)| (*path, own(content))).collect();
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, content)| (*path, content.as_str())).collect();
        let commit = self.repository.commit(&files, "a change").await.unwrap();
        self.repository.push().await.unwrap();
        self.target(&commit)
    }

    /// The build of a commit.
    pub fn target(&self, commit: &str) -> BuildTarget {
        let mut target = BuildTarget {
            id: BuildId::new(),
            attempt: 1,
            organisation: OrganisationId::new(),
            project: self.project,
            repository_url: self.repository.clone_url.clone(),
            commit: commit.to_owned(),
            root_directory: String::new(),
            dockerfile: "Dockerfile".to_owned(),
            variables: self.parts.key.public().seal(b"{}", "").unwrap(),
            authorization: None,
            timeout_seconds: 60,
            limits: Limits { cpu_millis: 1_000, memory_mb: 512 },
            maximum_checkout_bytes: 64 * 1024 * 1024,
        };
        self.variables(&mut target, &[]);
        target
    }

    /// Sets the variables of a build.
    pub fn variables(&self, target: &mut BuildTarget, variables: &[(&str, &str)]) {
        let map: std::collections::BTreeMap<_, _> = variables.iter().copied().collect();
        let json = serde_json::to_vec(&map).unwrap();
        target.variables = self.parts.key.public().seal(&json, &target.id.to_string()).unwrap();
    }

    /// Sets what the build shows to the git server.
    pub fn authorize(&self, target: &mut BuildTarget, token: &str) {
        let value = format!("Basic {}", STANDARD.encode(format!("x-access-token:{token}")));
        let sealed = self.parts.key.public().seal(value.as_bytes(), &target.id.to_string());
        target.authorization = Some(sealed.unwrap());
    }

    pub async fn build(&self, target: &BuildTarget) -> Ended {
        self.build_until(target, CancellationToken::new()).await
    }

    pub async fn build_with(&self, target: &BuildTarget, parts: &BuildParts) -> Ended {
        self.run(target, parts, CancellationToken::new()).await
    }

    pub async fn build_until(&self, target: &BuildTarget, cancel: CancellationToken) -> Ended {
        self.run(target, &self.parts, cancel).await
    }

    /// A server that redirects git to a repository; its `host:port`, and the heads it was sent.
    pub async fn moved(&self, to: &str) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (seen, to) = (Arc::clone(&heads), to.to_owned());
        self.lifecycle.spawn("moved", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 8 * 1024];
                let read = stream.read(&mut head).await.unwrap_or(0);
                seen.lock().unwrap().push(String::from_utf8_lossy(&head[..read]).into_owned());
                let location = format!("{to}/info/refs?service=git-upload-pack");
                let answer = format!(
                    "HTTP/1.1 301 Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\
                    Connection: close\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (address, heads)
    }

    async fn run(
        &self,
        target: &BuildTarget,
        parts: &BuildParts,
        cancel: CancellationToken,
    ) -> Ended {
        let (sink, mut ends) = LogSink::channel(100_000);
        let mut lines = Vec::new();
        let steps = Mutex::new(Vec::new());
        let read = async {
            while let Some(line) = ends.next().await {
                lines.push(line);
            }
        };
        let work = async {
            let outcome =
                build(target, parts, &sink, &|step| steps.lock().unwrap().push(step), cancel).await;
            drop(sink);
            outcome
        };
        let (outcome, ()) = tokio::join!(work, read);
        let left: Vec<PathBuf> = std::fs::read_dir(&self.parts.work_directory)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        assert_eq!(left, Vec::<PathBuf>::new(), "the checkout stays");
        Ended { outcome, lines, steps: steps.into_inner().unwrap() }
    }

    /// A directory that nothing of a build may touch.
    pub fn elsewhere(&self) -> &Path {
        self.directory.path()
    }
}

impl Ended {
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{}\n", line.text)).collect()
    }

    pub fn says(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.text.contains(text))
    }

    /// The code of the reason, `succeeded` for an image.
    pub fn code(&self) -> &str {
        match &self.outcome {
            BuildOutcome::Succeeded { .. } => "succeeded",
            BuildOutcome::Failed { reason } | BuildOutcome::Lost { reason } => &reason.code,
            BuildOutcome::Running { .. } => "running",
        }
    }

    pub fn reason(&self) -> &str {
        match &self.outcome {
            BuildOutcome::Failed { reason } | BuildOutcome::Lost { reason } => &reason.text,
            other => panic!("no reason: {other:?}\n{}", self.text()),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for image in images(&self.parts.installation) {
            ask("DELETE", &format!("/images/{image}?force=1"));
        }
    }
}

/// Ids of the images that carry an installation's label.
pub fn images(installation: &str) -> Vec<String> {
    let filter = format!("{{\"label\":[\"dev.zeitwork.installation={installation}\"]}}");
    let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
    let found = ask("GET", &format!("/images/json?all=1&filters={filter}"));
    let found: Vec<serde_json::Value> = serde_json::from_str(&found).unwrap_or_default();
    found.iter().filter_map(|image| image["Id"].as_str().map(str::to_owned)).collect()
}

/// Makes an empty image of this name with these lines of a Dockerfile.
pub fn import(name: &str, lines: &[&str]) {
    let (repository, tag) = name.split_once(':').unwrap();
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("fromSrc", "-").append_pair("repo", repository).append_pair("tag", tag);
    for line in lines {
        query.append_pair("changes", line);
    }
    // An empty archive is two blocks of zeros.
    let body = [0; 1024];
    let mut stream = UnixStream::connect(SOCKET).unwrap();
    write!(
        stream,
        "POST /images/create?{} HTTP/1.0\r\nHost: docker\r\nContent-Length: {}\r\n\r\n",
        query.finish(),
        body.len()
    )
    .unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
}

/// One call to the engine, by the oldest HTTP there is.
pub fn ask(method: &str, path: &str) -> String {
    let mut stream = UnixStream::connect(SOCKET).unwrap();
    write!(stream, "{method} /v1.41{path} HTTP/1.0\r\nHost: docker\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// Processes of this host whose command line holds a text.
pub fn processes(text: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(text))
        .collect()
}

/// Waits for a fact, for at most a minute, and says how long that took.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_mins(1), "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    start.elapsed()
}
