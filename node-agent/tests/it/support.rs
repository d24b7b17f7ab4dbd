//! A node of its own for each test: engine, bridge, rules and the loop, without a database.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{OnceCell, watch};
use zeitwork_model::environment::{HealthCheck, Limits};
use zeitwork_model::generation::Position;
use zeitwork_model::id::{
    DeploymentId, EnvironmentId, InstanceId, OrganisationId, ProjectId, RequestId,
};
use zeitwork_model::instance::InstanceGoal;
use zeitwork_model::reason::Reason;
use zeitwork_node_agent::clean::clean;
use zeitwork_node_agent::container::engine::Engine;
use zeitwork_node_agent::container::labels::Owner;
use zeitwork_node_agent::instances::memory::Memory;
use zeitwork_node_agent::instances::{Instances, Snapshot, Surroundings};
use zeitwork_node_agent::logs::follow::{Followers, OpenStream};
use zeitwork_node_agent::logs::mark::Mark;
use zeitwork_node_agent::logs::{LogSink, Stream};
use zeitwork_node_agent::network::Network;
use zeitwork_node_agent::network::bridge::Bridge;
use zeitwork_protocol::report::{InstancePhase, InstanceReport};
use zeitwork_protocol::target::{InstanceTarget, NodeTarget};
use zeitwork_runtime::lifecycle::Lifecycle;
use zeitwork_secrets::{PrivateKey, PublicKey};

/// Longest time until a fact of a node.
pub const LIMIT: Duration = Duration::from_secs(30);
pub const SOCKET: &str = "unix:///var/run/docker.sock";

/// Engine id of an image that holds busybox and nothing else.
pub async fn busybox() -> String {
    static IMAGE: OnceCell<String> = OnceCell::const_new();
    IMAGE
        .get_or_init(|| async {
            zeitwork_stand_ins::engine::ensure().await.expect("an engine");
            let docker = bollard::Docker::connect_with_host(SOCKET).unwrap();
            docker.inspect_image("busybox:latest").await.unwrap().id.unwrap()
        })
        .await
        .clone()
}

pub struct Node {
    pub engine: Arc<Engine>,
    pub key: Arc<PrivateKey>,
    pub directory: tempfile::TempDir,
    allow: Vec<ipnetwork::IpNetwork>,
    /// Where its network comes from.
    pub pool: ipnetwork::Ipv4Network,
    target: watch::Sender<Option<Arc<NodeTarget>>>,
    said: Arc<watch::Sender<Vec<(InstanceId, Stream, String)>>>,
    marks: Arc<Mutex<BTreeMap<InstanceId, Mark>>>,
    /// Why there is little room on the disk.
    pub space: watch::Sender<Option<Reason>>,
    running: Option<(Lifecycle, watch::Receiver<Snapshot>)>,
}

/// Runs a test in a node of its own, which is removed however the test ends.
pub async fn with_node(test: impl AsyncFnOnce(&mut Node)) {
    with_node_allowing(&["0.0.0.0/0"], test).await;
}

pub async fn with_node_allowing(allow: &[&str], test: impl AsyncFnOnce(&mut Node)) {
    zeitwork_stand_ins::engine::ensure().await.expect("an engine");
    let installation = RequestId::new().to_string().replace("req_", "test-");
    let owner = Owner { installation, node: "one".into() };
    let mut node = Node {
        engine: Arc::new(Engine::new(SOCKET.to_owned(), owner)),
        key: Arc::new(PrivateKey::generate().unwrap()),
        directory: tempfile::tempdir().unwrap(),
        allow: allow.iter().map(|text| text.parse().unwrap()).collect(),
        pool: "10.213.0.0/16".parse().unwrap(),
        target: watch::channel(None).0,
        said: Arc::new(watch::channel(Vec::new()).0),
        marks: Arc::default(),
        space: watch::channel(None).0,
        running: None,
    };
    node.start();
    let outcome = AssertUnwindSafe(test(&mut node)).catch_unwind().await;
    node.kill().await;
    let mut network = node.network();
    clean(&node.engine, &mut network, Duration::ZERO).await.expect("cleaned");
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Node {
    pub fn network(&self) -> Network {
        let remembered = self.directory.path().join("subnet");
        Network::new(Bridge::new(self.engine.owner(), self.pool, remembered), self.allow.clone())
    }

    pub fn start(&mut self) {
        let life = Lifecycle::new();
        let (instances, snapshots) = Instances::new(Surroundings {
            engine: Arc::clone(&self.engine),
            network: self.network(),
            key: Arc::clone(&self.key),
            targets: self.target.subscribe(),
            memory: Memory::load(self.directory.path().join("instances.json")),
            followers: Followers::new(
                Arc::clone(&self.engine),
                Arc::clone(&self.key),
                self.streams(),
                life.clone(),
            ),
            space: self.space.subscribe(),
            life: life.clone(),
        });
        life.spawn("instances", instances.run());
        self.running = Some((life, snapshots));
    }

    /// Streams that end in a list, stored at once with their marks.
    fn streams(&self) -> OpenStream {
        let (said, marks, life) =
            (Arc::clone(&self.said), Arc::clone(&self.marks), Lifecycle::new());
        Arc::new(move |id| {
            let (sink, mut lines) = LogSink::channel(10_000);
            let (said, marks) = (Arc::clone(&said), Arc::clone(&marks));
            let mark = marks.lock().unwrap().get(&id).copied().unwrap_or_default();
            life.spawn_detached("listener", async move {
                while let Some(line) = lines.next().await {
                    if let Some(at) = line.at {
                        marks.lock().unwrap().entry(id).or_default().advance(line.stream, at);
                    }
                    said.send_modify(|said| said.push((id, line.stream, line.text)));
                }
            });
            (sink, watch::channel(Some(mark)).1)
        })
    }

    /// What an instance has said, once that is a certain number of lines.
    pub async fn lines(&self, id: InstanceId, number: usize) -> Vec<(Stream, String)> {
        let of = |said: &Vec<(InstanceId, Stream, String)>| {
            let lines = said.iter().filter(|(of, _, _)| *of == id);
            lines.map(|(_, stream, text)| (*stream, text.clone())).collect::<Vec<_>>()
        };
        let mut said = self.said.subscribe();
        let enough = said.wait_for(|said| of(said).len() >= number);
        let Ok(said) = tokio::time::timeout(LIMIT, enough).await else {
            panic!("not {number} lines: {:?}", of(&self.said.borrow()))
        };
        of(&said.unwrap())
    }

    /// Ends the loop as kill -9 would: nothing is finished.
    pub async fn kill(&mut self) {
        if let Some((life, _)) = self.running.take() {
            life.stop_now();
            let _ = life.drain(Duration::ZERO).await;
        }
    }

    pub fn want(&self, generation: i64, instances: Vec<InstanceTarget>) {
        self.want_keeping(generation, instances, Vec::new());
    }

    pub fn want_keeping(
        &self,
        generation: i64,
        instances: Vec<InstanceTarget>,
        keep_images: Vec<String>,
    ) {
        self.target.send_replace(Some(Arc::new(NodeTarget {
            version: 1,
            minimum_reader: 1,
            position: Position { epoch: 1, generation },
            instances,
            builds: Vec::new(),
            keep_images,
        })));
    }

    pub async fn until(&mut self, what: &str, fact: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let (_, snapshots) = self.running.as_mut().expect("the node runs");
        let waited = tokio::time::timeout(LIMIT, snapshots.wait_for(|seen| fact(seen))).await;
        if let Ok(seen) = waited.map(|seen| seen.expect("the loop runs").clone()) {
            return seen;
        }
        panic!("{what}: not within {LIMIT:?}; {:#?}", snapshots.borrow())
    }

    pub async fn until_phase(&mut self, id: InstanceId, phase: InstancePhase) -> InstanceReport {
        let what = format!("{id} {phase:?}");
        let is = |seen: &Snapshot| find(seen, id).is_some_and(|report| report.phase == phase);
        find(&self.until(&what, is).await, id).unwrap().clone()
    }

    /// An address of the node's bridge, far from its gateway.
    pub async fn address(&mut self, number: u32) -> Ipv4Addr {
        if self.target.borrow().is_none() {
            self.want(0, Vec::new());
        }
        let seen = self.until("a subnet", |seen| seen.subnet.is_some()).await;
        Ipv4Addr::from(u32::from(seen.subnet.unwrap().network()) + 10 + number)
    }

    pub async fn instance(&mut self, number: u32, script: &str) -> InstanceTarget {
        let address = self.address(number).await;
        target_instance(&self.key.public(), address, script).await
    }
}

/// An instance of the busybox image that runs the script; `$GREETING` is a secret of it.
pub async fn target_instance(key: &PublicKey, address: Ipv4Addr, script: &str) -> InstanceTarget {
    let id = InstanceId::new();
    let variables = BTreeMap::from([("GREETING", "hello-secret")]);
    let text = serde_json::to_vec(&variables).unwrap();
    InstanceTarget {
        id,
        organisation: OrganisationId::new(),
        project: ProjectId::new(),
        environment: EnvironmentId::new(),
        deployment: DeploymentId::new(),
        process: "web".into(),
        commit: "0".repeat(40),
        goal: InstanceGoal::Run,
        image: busybox().await,
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        address,
        port: 8080,
        names: vec![format!("web-{}.shop.internal", address.octets()[3])],
        health: HealthCheck { grace_ms: 5_000, ..HealthCheck::default() },
        limits: Limits { cpu_millis: 200, memory_mb: 32 },
        stop_grace_ms: 2_000,
        variables: key.seal(&text, &id.to_string()).unwrap(),
    }
}

pub fn find(seen: &Snapshot, id: InstanceId) -> Option<&InstanceReport> {
    seen.instances.iter().map(|(report, _)| report).find(|report| report.id == id)
}

/// A server that answers with what `/www` holds.
pub const SERVER: &str = "mkdir -p /www && echo \"$GREETING $PORT\" > /www/index.html && \
                          exec httpd -f -p \"$PORT\" -h /www";

/// What a GET of the address answers, asked by a program that is not ours.
pub fn get(address: Ipv4Addr) -> Option<String> {
    let limit = Some(Duration::from_secs(2));
    let mut stream = TcpStream::connect((address, 8080)).ok()?;
    stream.set_read_timeout(limit).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}
