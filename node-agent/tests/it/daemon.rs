//! The whole daemon: target from the database, report and logs to the database, disk in between.

use std::net::{Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use zeitwork_database::testing::{FACT_LIMIT, TestDatabase};
use zeitwork_database::{Database, PoolSettings, installation, join, steps, views};
use zeitwork_model::environment::Limits;
use zeitwork_model::generation::Position;
use zeitwork_model::id::{BuildId, OrganisationId, ProjectId, RequestId};
use zeitwork_node_agent::container::engine::Engine;
use zeitwork_node_agent::container::labels::Owner;
use zeitwork_node_agent::{Config, Parts};
use zeitwork_protocol::report::{BuildOutcome, BuildReport, InstancePhase, NodeReport};
use zeitwork_protocol::target::{BuildTarget, InstanceTarget, NodeTarget};
use zeitwork_runtime::clock::Clock;
use zeitwork_runtime::lifecycle::Lifecycle;
use zeitwork_secrets::{PrivateKey, PublicKey};

use crate::support::{SERVER, SOCKET, get, target_instance};

/// What the server answers.
const SERVED: &str = "hello-secret 8080\n";

struct Daemon {
    world: TestDatabase,
    login: String,
    config: Config,
    _directory: tempfile::TempDir,
    life: Option<Lifecycle>,
}

impl Daemon {
    async fn start_new() -> Self {
        zeitwork_stand_ins::engine::ensure().await.expect("an engine");
        let world = TestDatabase::create().await;
        let directory = tempfile::tempdir().unwrap();
        let path: PathBuf = directory.path().join("node");
        std::fs::create_dir(&path).unwrap();
        // Databases of tests are clones, of one installation: the nodes tell them apart.
        let name = RequestId::new().to_string().replace("req_", "node-");
        let config = Config {
            name: name.clone(),
            key_file: path.join("node.key"),
            directory: path,
            docker_host: SOCKET.into(),
            pool: "10.213.0.0/16".parse().unwrap(),
            egress_allow: vec!["0.0.0.0/0".parse().unwrap()],
            disk_floor: 0,
            insecure_hosts: Vec::new(),
            addresses: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        };
        let key = PrivateKey::load_or_create(&config.key_file).unwrap();
        let mut connection = world.owner.acquire().await.unwrap();
        let login = join::ensure(&mut connection, &name, key.public().as_bytes()).await.unwrap();
        drop(connection);
        let mut daemon = Self { world, login, config, _directory: directory, life: None };
        daemon.start().await;
        daemon
    }

    async fn start(&mut self) {
        let database = self.world.node(&self.login).await;
        self.start_with(database);
    }

    fn start_with(&mut self, database: Database) {
        let life = Lifecycle::new();
        let parts = Parts { database, clock: Clock::system() };
        zeitwork_node_agent::run(self.config.clone(), parts, &life).unwrap();
        self.life = Some(life);
    }

    async fn kill(&mut self) {
        if let Some(life) = self.life.take() {
            life.stop_now();
            let _ = life.drain(Duration::ZERO).await;
        }
    }

    async fn node(&self) -> views::nodes::Node {
        let mut connection = self.world.owner.acquire().await.unwrap();
        views::nodes::nodes(&mut connection).await.unwrap().remove(0)
    }

    async fn report(&self) -> Option<NodeReport> {
        self.node().await.report.map(|report| serde_json::from_value(report).unwrap())
    }

    async fn until(&self, what: &str, fact: impl Fn(&NodeReport) -> bool) -> NodeReport {
        let deadline = Instant::now() + FACT_LIMIT;
        let mut last = None;
        while Instant::now() < deadline {
            last = self.report().await;
            if let Some(report) = last.as_ref().filter(|report| fact(report)) {
                return report.clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what}: not in time; {last:#?}")
    }

    async fn want(&self, generation: i64, instances: Vec<InstanceTarget>) {
        self.want_all(generation, instances, Vec::new()).await;
    }

    async fn want_all(
        &self,
        generation: i64,
        instances: Vec<InstanceTarget>,
        builds: Vec<BuildTarget>,
    ) {
        let node = self.node().await.id;
        let position = |generation| Position { epoch: 1, generation };
        let target = NodeTarget {
            version: 1,
            minimum_reader: 1,
            position: position(generation),
            instances,
            builds,
            keep_images: Vec::new(),
        };
        let previous = (generation > 1).then(|| position(generation - 1));
        let mut connection = self.world.owner.acquire().await.unwrap();
        steps::nodes::write_target(&mut connection, node, &target, previous).await.unwrap();
    }

    async fn instance(&self, number: u32) -> InstanceTarget {
        let report = self.until("a subnet", |report| report.host.subnet.is_some()).await;
        let subnet = report.host.subnet.unwrap();
        let address = Ipv4Addr::from(u32::from(subnet.network()) + 10 + number);
        let key = PrivateKey::load_or_create(&self.config.key_file).unwrap().public();
        target_instance(&key, address, SERVER).await
    }
}

/// Runs a test against a daemon of its own, whose containers and rules are removed at the end.
async fn with_daemon(test: impl AsyncFnOnce(&mut Daemon)) {
    let mut daemon = Daemon::start_new().await;
    let outcome = AssertUnwindSafe(test(&mut daemon)).catch_unwind().await;
    // Not killed: what it has asked the engine for must be there before it is removed.
    if let Some(life) = daemon.life.take() {
        life.stop();
        let _ = life.drain(Duration::from_secs(10)).await;
    }
    zeitwork_node_agent::remove(&daemon.config).await.unwrap();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn is(report: &NodeReport, instance: &InstanceTarget, phase: InstancePhase) -> bool {
    report.instances.iter().any(|shown| shown.id == instance.id && shown.phase == phase)
}

async fn engine_ids(daemon: &Daemon) -> Vec<(String, String)> {
    let mut connection = daemon.world.owner.acquire().await.unwrap();
    let installation = installation::read(&mut connection).await.unwrap().id;
    let owner = Owner { installation, node: daemon.config.name.clone() };
    let engine = Engine::new(SOCKET.into(), owner);
    let listed = engine.list().await.unwrap();
    listed.into_iter().map(|container| (container.id, container.started_at)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_wants_runs_and_is_reported() {
    with_daemon(async |daemon| {
        daemon.want(1, Vec::new()).await;
        let instance = daemon.instance(1).await;
        daemon.want(2, vec![instance.clone()]).await;
        let healthy =
            daemon.until("healthy", |report| is(report, &instance, InstancePhase::Healthy)).await;
        assert_eq!(healthy.applied, Some(Position { epoch: 1, generation: 2 }));
        assert_eq!(healthy.problems, vec![]);
        let used = daemon.until("figures", |report| {
            report.instances[0].usage.is_some_and(|usage| usage.memory_bytes > 0)
        });
        assert!(used.await.host.memory_bytes > 0);
        daemon.want(3, Vec::new()).await;
        daemon.until("gone", |report| report.applied.is_some_and(|at| at.generation == 3)).await;
        while !engine_ids(daemon).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_was_killed_adopts_what_runs() {
    with_daemon(async |daemon| {
        daemon.want(1, Vec::new()).await;
        let instance = daemon.instance(1).await;
        daemon.want(2, vec![instance.clone()]).await;
        daemon.until("healthy", |report| is(report, &instance, InstancePhase::Healthy)).await;
        let before = engine_ids(daemon).await;
        daemon.kill().await;
        assert!(get(instance.address).is_some(), "instances outlive their agent");
        daemon.start().await;
        let second = daemon.instance(2).await;
        daemon.want(3, vec![instance.clone(), second.clone()]).await;
        let report =
            daemon.until("both", |report| is(report, &second, InstancePhase::Healthy)).await;
        assert!(is(&report, &instance, InstancePhase::Healthy));
        assert!(engine_ids(daemon).await.contains(&before[0]), "the same start of the same one");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_runs_from_disk_while_the_database_is_away() {
    with_daemon(async |daemon| {
        daemon.want(1, Vec::new()).await;
        let instance = daemon.instance(1).await;
        daemon.want(2, vec![instance.clone()]).await;
        daemon.until("healthy", |report| is(report, &instance, InstancePhase::Healthy)).await;
        daemon.kill().await;
        zeitwork_node_agent::remove(&daemon.config).await.unwrap();
        // Without the bridge the address may be anybody's.
        assert_ne!(get(instance.address).as_deref(), Some(SERVED));
        let kept = std::fs::read_to_string(daemon.config.file("target.json")).unwrap();
        assert!(!kept.contains("hello-secret"), "the kept target stays sealed");

        let nowhere = "postgres://nobody@127.0.0.1:1/none".into();
        let away = Database::new(&nowhere, "test", &PoolSettings::default()).unwrap();
        daemon.start_with(away);
        let deadline = Instant::now() + FACT_LIMIT;
        while get(instance.address).as_deref() != Some(SERVED) {
            assert!(Instant::now() < deadline, "it serves from disk");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

fn build_target(key: &PublicKey) -> BuildTarget {
    let id = BuildId::new();
    BuildTarget {
        id,
        attempt: 3,
        organisation: OrganisationId::new(),
        project: ProjectId::new(),
        repository_url: "https://127.0.0.1:1/shop.git".into(),
        commit: "0".repeat(40),
        root_directory: String::new(),
        dockerfile: "Dockerfile".into(),
        variables: key.seal(b"{}", &id.to_string()).unwrap(),
        authorization: None,
        timeout_seconds: 60,
        limits: Limits::default(),
        maximum_checkout_bytes: 1 << 20,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_build_is_reported_until_the_target_forgets_it() {
    with_daemon(async |daemon| {
        let key = PrivateKey::load_or_create(&daemon.config.key_file).unwrap().public();
        let target = build_target(&key);
        daemon.want_all(1, Vec::new(), vec![target.clone()]).await;
        let report = daemon.until("its end", |report| {
            let ended =
                |build: &BuildReport| !matches!(build.outcome, BuildOutcome::Running { .. });
            report.builds.iter().any(ended)
        });
        let build = report.await.builds.remove(0);
        assert_eq!((build.id, build.attempt), (target.id, 3));
        let BuildOutcome::Lost { reason } = build.outcome else { panic!("{:?}", build.outcome) };
        assert_eq!(reason.code, "repository_unreachable");

        daemon.kill().await;
        daemon.start().await;
        daemon.until("it is listed again", |report| !report.builds.is_empty()).await;
        daemon.want_all(2, Vec::new(), Vec::new()).await;
        daemon.until("it is forgotten", |report| report.builds.is_empty()).await;
    })
    .await;
}
