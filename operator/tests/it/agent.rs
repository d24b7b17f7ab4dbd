//! Plays a node: reads its target, writes its report, as its own login.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use zeitwork_database::testing::TestDatabase;
use zeitwork_database::{Database, join, node_reports, node_targets};
use zeitwork_model::id::{BuildId, InstanceId};
use zeitwork_model::instance::InstanceGoal;
use zeitwork_model::reason::Reason;
use zeitwork_protocol::report::{
    BuildOutcome, BuildReport, HostReport, ImageReport, InstancePhase, InstanceReport, NodeReport,
};
use zeitwork_protocol::target::{BuildTarget, InstanceTarget, NodeTarget};
use zeitwork_runtime::Lifecycle;
use zeitwork_secrets::PrivateKey;

/// How builds or instances of a commit go.
#[derive(Debug, Clone)]
pub enum Fate {
    /// Well.
    Well,
    /// Runs and runs (a build), or never becomes healthy (an instance).
    Never(String),
    /// Fails with this text.
    Fails(String),
    /// The node does not begin with it.
    Waits,
}

#[derive(Default)]
struct State {
    builds: BTreeMap<String, Fate>,
    instances: BTreeMap<String, Fate>,
    target: Option<NodeTarget>,
    frozen: bool,
    /// Reported once and for all builds of a commit: another attempt than the real one.
    wrong_attempt: BTreeSet<String>,
    /// Instances of another node that it lies about.
    claimed: Vec<InstanceTarget>,
    /// Instances that were healthy and fail their check.
    sick: BTreeSet<InstanceId>,
    /// What its engine lists, once it does.
    images: Option<Vec<String>>,
    /// What it says keeps it from working.
    problem: Option<String>,
    /// Every build that was ever asked for.
    seen: BTreeSet<(BuildId, i32)>,
}

/// A node.
#[derive(Clone)]
pub struct Agent {
    subnet: u8,
    key: Arc<PrivateKey>,
    database: Database,
    state: Arc<Mutex<State>>,
    /// Held while it looks and reports.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Agent {
    /// Registers and runs until the test ends.
    pub async fn join(database: &TestDatabase, name: &str, subnet: u8, life: &Lifecycle) -> Self {
        let key = PrivateKey::generate().unwrap();
        let mut connection = database.owner.acquire().await.unwrap();
        let login = join::ensure(&mut connection, name, key.public().as_bytes()).await.unwrap();
        drop(connection);
        let agent = Self {
            subnet,
            key: Arc::new(key),
            database: database.node(&login).await,
            state: Arc::default(),
            turn: Arc::default(),
        };
        let running = agent.clone();
        life.spawn_detached("agent", async move { running.run().await });
        agent
    }

    /// Builds of this commit's digit go so.
    pub fn build(&self, digit: char, fate: Fate) {
        self.state.lock().unwrap().builds.insert(crate::world::commit(digit), fate);
    }

    /// Instances of this commit's digit go so.
    pub fn instances(&self, digit: char, fate: Fate) {
        self.state.lock().unwrap().instances.insert(crate::world::commit(digit), fate);
    }

    /// It says nothing and does nothing, or goes on; returns once what it was at is over.
    pub async fn freeze(&self, frozen: bool) {
        self.state.lock().unwrap().frozen = frozen;
        drop(self.turn.lock().await);
    }

    /// Builds of this commit are reported as of the attempt before.
    pub fn report_stale(&self, digit: char) {
        self.state.lock().unwrap().wrong_attempt.insert(crate::world::commit(digit));
    }

    /// Every build and attempt that it was asked for.
    pub fn builds_seen(&self) -> BTreeSet<(BuildId, i32)> {
        self.state.lock().unwrap().seen.clone()
    }

    /// The instances of its target.
    pub fn instances_wanted(&self) -> Vec<InstanceTarget> {
        let state = self.state.lock().unwrap();
        state.target.as_ref().map(|t| t.instances.clone()).unwrap_or_default()
    }

    /// From now on it says that it gave up these instances of another node.
    pub fn claim(&self, instances: Vec<InstanceTarget>) {
        self.state.lock().unwrap().claimed = instances;
    }

    /// From now on this instance fails its check.
    pub fn sicken(&self, instance: InstanceId) {
        self.state.lock().unwrap().sick.insert(instance);
    }

    /// From now on it lists the images of these commits' digits, or none at all.
    pub fn lists(&self, digits: Option<&[char]>) {
        let image = |digit: &char| format!("sha256:{}", crate::world::commit(*digit));
        self.state.lock().unwrap().images = digits.map(|all| all.iter().map(image).collect());
    }

    /// From now on it says that this keeps it from working, or that nothing does.
    pub fn problem(&self, text: Option<&str>) {
        self.state.lock().unwrap().problem = text.map(str::to_owned);
    }

    /// The variables of an instance, opened as only this node can.
    pub fn variables(&self, instance: &InstanceTarget) -> BTreeMap<String, String> {
        let plain = self.key.open(&instance.variables, &instance.id.to_string()).unwrap();
        let marked: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&plain).unwrap();
        let value = |(name, marked): (String, serde_json::Value)| {
            (name, marked["value"].as_str().unwrap().to_owned())
        };
        marked.into_iter().map(value).collect()
    }

    async fn run(&self) {
        loop {
            let turn = self.turn.lock().await;
            let frozen = self.state.lock().unwrap().frozen;
            if !frozen {
                self.take_turn().await;
            }
            drop(turn);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn take_turn(&self) {
        let seen = self.state.lock().unwrap().target.as_ref().map(|t| t.position);
        let mut connection = self.database.acquire().await.unwrap();
        if let Some(target) = node_targets::newer(&mut connection, seen).await.unwrap() {
            let mut state = self.state.lock().unwrap();
            state.seen.extend(target.builds.iter().map(|b| (b.id, b.attempt)));
            state.target = Some(target);
        }
        let report = self.report();
        node_reports::write(&mut connection, &report, true).await.unwrap();
    }

    fn report(&self) -> NodeReport {
        let state = self.state.lock().unwrap();
        let target = state.target.as_ref();
        let claimed = state
            .claimed
            .iter()
            .map(|i| InstanceReport { phase: InstancePhase::Failed, ..instance(&state, i) });
        let own = target.into_iter().flat_map(|t| t.instances.iter());
        NodeReport {
            version: 1,
            minimum_reader: 1,
            applied: target.map(|t| t.position),
            host: self.host(),
            instances: own.map(|i| instance(&state, i)).chain(claimed).collect(),
            builds: target
                .map(|t| t.builds.iter().map(|b| build(&state, b)).collect())
                .unwrap_or_default(),
            images: state.images.iter().flatten().map(|image| listed(image)).collect(),
            images_listed_ms_ago: state.images.as_ref().map(|_| 0),
            problems: state.problem.iter().map(|text| Reason::new("engine", text)).collect(),
        }
    }

    fn host(&self) -> HostReport {
        HostReport {
            agent_version: "test".into(),
            engine_version: "test".into(),
            kernel: "test".into(),
            subnet: Some(format!("10.90.{}.0/24", self.subnet).parse().unwrap()),
            cores: 2,
            memory_bytes: 8 << 30,
            memory_available_bytes: 6 << 30,
            cpu_millis: 0,
            load1: 0.0,
            disk_bytes: 100 << 30,
            disk_available_bytes: 50 << 30,
            network_received_bytes: 0,
            network_sent_bytes: 0,
        }
    }
}

fn instance(state: &State, target: &InstanceTarget) -> InstanceReport {
    let fate = state.instances.get(&target.commit).cloned().unwrap_or(Fate::Well);
    let (phase, reason) = match (target.goal, fate) {
        (InstanceGoal::Stop, _) => (InstancePhase::Stopped, None),
        (InstanceGoal::Pause, _) => (InstancePhase::Paused, None),
        (InstanceGoal::Run, _) if state.sick.contains(&target.id) => {
            (InstancePhase::Unhealthy, Some(Reason::new("bad_status", "answers 500 on /")))
        }
        (InstanceGoal::Run, Fate::Well) => (InstancePhase::Healthy, None),
        (InstanceGoal::Run, Fate::Never(text)) => {
            (InstancePhase::Starting, Some(Reason::new("not_healthy", text)))
        }
        (InstanceGoal::Run, Fate::Fails(text)) => {
            (InstancePhase::Failed, Some(Reason::new("crashed", text)))
        }
        (InstanceGoal::Run, Fate::Waits) => (InstancePhase::Waiting, None),
    };
    InstanceReport {
        id: target.id,
        phase,
        reason,
        restarts: 0,
        exit_code: None,
        oom_killed: false,
        usage: None,
    }
}

fn listed(image: &str) -> ImageReport {
    ImageReport { image: image.to_owned(), size_bytes: 1_000 }
}

fn build(state: &State, target: &BuildTarget) -> BuildReport {
    let fate = state.builds.get(&target.commit).cloned().unwrap_or(Fate::Well);
    let outcome = match fate {
        Fate::Well => BuildOutcome::Succeeded {
            image: format!("sha256:{}", target.commit),
            size_bytes: 1_000,
            platform: "linux/amd64".into(),
            exposed_ports: vec![3_000],
        },
        Fate::Never(step) => BuildOutcome::Running { step },
        Fate::Waits => BuildOutcome::Running { step: String::new() },
        Fate::Fails(text) => BuildOutcome::Failed { reason: Reason::new("build_failed", text) },
    };
    let stale = state.wrong_attempt.contains(&target.commit);
    BuildReport { id: target.id, attempt: target.attempt - i32::from(stale), outcome }
}
