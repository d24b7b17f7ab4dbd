//! Keeps the instances of the node as the target says: looks, plans, acts, again and again.
//!
//! The loop holds all state; actions run beside it and come back as messages. A signal (target,
//! engine event, check, finished action) only makes it look sooner.

pub mod apply;
pub mod memory;
pub mod monitors;
pub mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnetwork::Ipv4Network;
use tokio::sync::{Notify, mpsc, watch};
use zeitwork_model::generation::Position;
use zeitwork_model::id::ProjectId;
use zeitwork_model::reason::{ADDRESS_LOST, Reason};
use zeitwork_protocol::report::{ImageReport, InstancePhase, InstanceReport};
use zeitwork_protocol::target::{InstanceTarget, NodeTarget};
use zeitwork_runtime::lifecycle::Lifecycle;
use zeitwork_secrets::seal::PrivateKey;

use crate::container::engine::{Engine, chain};
use crate::container::{Container, ContainerState};
use crate::health::Verdict;
use crate::images::Images;
use crate::logs::follow::Followers;
use crate::network::Network;
use crate::observe::host::cores;
use crate::plan::{Action, IMAGE_REST, SHORT_IMAGE_REST, View, plan};
use apply::{Done, Failure, Work};
use memory::Memory;
use monitors::Monitors;

/// Time between two looks when nothing happens.
const PERIOD: Duration = Duration::from_secs(1);
/// Time between two looks while something waits for a moment to come.
const SOON: Duration = Duration::from_millis(100);
/// An engine that does not list its containers in this time hangs.
const LIST_LIMIT: Duration = Duration::from_secs(5);
/// The node's problem where the engine does not answer.
const ENGINE_AWAY: &str = "engine_away";
/// The node's problem where its network or rules cannot be made.
const UNISOLATED: &str = "isolation_missing";

/// The node as the loop last saw it.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The target that it works on.
    pub applied: Option<Position>,
    /// Addresses of the bridge.
    pub subnet: Option<Ipv4Network>,
    /// The engine's version.
    pub engine_version: String,
    /// Each instance of the target, without usage, and its process (0: none).
    pub instances: Vec<(InstanceReport, i32)>,
    /// Images of ours.
    pub images: Vec<ImageReport>,
    /// When they were listed.
    pub images_listed_at: Option<Instant>,
    /// What keeps the node from working as it should.
    pub problems: Vec<Reason>,
}

/// What the loop needs from outside.
#[derive(Debug)]
pub struct Surroundings {
    /// The engine.
    pub engine: Arc<Engine>,
    /// The bridge and the host's rules.
    pub network: Network,
    /// Opens what is sealed to this node.
    pub key: Arc<PrivateKey>,
    /// The newest target.
    pub targets: watch::Receiver<Option<Arc<NodeTarget>>>,
    /// What is remembered over restarts.
    pub memory: Memory,
    /// Reads what instances say.
    pub followers: Followers,
    /// Why there is little room on the disk, while there is.
    pub space: watch::Receiver<Option<Reason>>,
    /// Where tasks live.
    pub life: Lifecycle,
}

/// The loop.
#[derive(Debug)]
pub struct Instances {
    around: Surroundings,
    snapshots: watch::Sender<Snapshot>,
    again: Arc<Notify>,
    containers: Vec<Container>,
    strays: BTreeMap<String, Instant>,
    busy: BTreeSet<String>,
    starts: usize,
    done: mpsc::UnboundedReceiver<Done>,
    work: Work,
    verdicts: mpsc::Receiver<Verdict>,
    monitors: Monitors,
    images: Images,
    engine_version: String,
    /// The engine has shown its containers; before that nothing is known of them.
    looked: bool,
    /// The engine did not answer when it was looked at last.
    away: bool,
}

impl Instances {
    /// The loop and where it shows what it saw.
    #[must_use]
    pub fn new(around: Surroundings) -> (Self, watch::Receiver<Snapshot>) {
        let (snapshots, seen) = watch::channel(Snapshot::default());
        let (done_sender, done) = mpsc::unbounded_channel();
        let (verdict_sender, verdicts) = mpsc::channel(256);
        let work = Work {
            engine: Arc::clone(&around.engine),
            targets: around.targets.clone(),
            key: Arc::clone(&around.key),
            network: around.network.bridge().name().to_owned(),
            done: done_sender,
            life: around.life.clone(),
        };
        let monitors = Monitors::new(around.life.clone(), verdict_sender);
        let this = Self {
            around,
            snapshots,
            again: Arc::new(Notify::new()),
            containers: Vec::new(),
            strays: BTreeMap::new(),
            busy: BTreeSet::new(),
            starts: 0,
            done,
            work,
            verdicts,
            monitors,
            images: Images::default(),
            engine_version: String::new(),
            looked: false,
            away: false,
        };
        (this, seen)
    }

    /// What makes the loop look again at once.
    #[must_use]
    pub fn again(&self) -> Arc<Notify> {
        Arc::clone(&self.again)
    }

    /// Runs until the daemon stops. Instances are left as they are.
    pub async fn run(mut self) {
        let life = self.around.life.clone();
        let again = self.again();
        let mut targets = self.around.targets.clone();
        loop {
            self.pass().await;
            let pause = if self.waits_for_a_moment() { SOON } else { PERIOD };
            tokio::select! {
                () = life.stopping() => break,
                () = tokio::time::sleep(pause) => {}
                () = again.notified() => {}
                Ok(()) = targets.changed() => {}
                Some(done) = self.done.recv() => self.finished(done),
                Some(verdict) = self.verdicts.recv() => self.judged(verdict),
            }
            self.take_messages();
        }
    }

    fn take_messages(&mut self) {
        while let Ok(done) = self.done.try_recv() {
            self.finished(done);
        }
        while let Ok(verdict) = self.verdicts.try_recv() {
            self.judged(verdict);
        }
    }

    fn waits_for_a_moment(&self) -> bool {
        let now = Instant::now();
        !self.strays.is_empty()
            || self.around.memory.lives.values().any(|life| {
                life.terminated_at.is_some() || life.not_before.is_some_and(|time| time > now)
            })
    }

    fn finished(&mut self, done: Done) {
        self.busy.remove(&done.key);
        if done.started {
            self.starts = self.starts.saturating_sub(1);
        }
        self.images.tried(&done.key);
        let of_container = || self.containers.iter().find(|c| c.id == done.key)?.instance;
        let Some(instance) = done.instance.or_else(of_container) else { return };
        let Some(life) = self.around.memory.lives.get_mut(&instance) else { return };
        life.trouble = None;
        match done.outcome {
            Ok(()) => {}
            Err(Failure::Unfit(reason)) => life.start_failed(reason, Instant::now()),
            Err(Failure::Engine(reason)) => life.trouble = Some(reason),
        }
    }

    fn judged(&mut self, verdict: Verdict) {
        let Some(life) = self.around.memory.lives.get_mut(&verdict.instance) else { return };
        // A verdict of an earlier start, or from before it was frozen, says nothing.
        if life.start != verdict.start || life.running_since.is_none() {
            return;
        }
        match verdict.outcome {
            Ok(()) => life.passed(Instant::now()),
            Err(reason) => life.failed(reason),
        }
    }

    async fn pass(&mut self) {
        let Some(target) = self.around.targets.borrow_and_update().clone() else {
            let text = "no target yet: the operator has not told this node what to run";
            self.publish(None, vec![Reason::new("no_target", text)]);
            return;
        };
        let mut problems = Vec::new();
        let listed = tokio::time::timeout(LIST_LIMIT, self.look()).await;
        if let Err(text) = listed.unwrap_or_else(|_| Err("it does not answer".to_owned())) {
            problems.push(Reason::new(ENGINE_AWAY, format!("docker engine: {text}")));
            self.away = true;
            // What was never seen is not reported: it may well run and serve.
            self.publish(Some(&*target).filter(|_| self.looked), problems);
            return;
        }
        self.looked = true;
        if std::mem::take(&mut self.away) {
            self.returned(&target);
        }
        self.around.followers.follow(&target, &self.containers);
        self.observe(&target);
        problems.extend(self.isolate(&target).await);
        self.give_up_strangers(&target);
        self.monitors.follow(&target, &self.containers, &self.around.memory.lives);
        self.images.look(&self.around.engine, &target, &self.containers).await;
        self.act(&target);
        problems.extend(self.around.memory.save());
        self.publish(Some(&target), problems);
    }

    async fn look(&mut self) -> Result<(), String> {
        if self.engine_version.is_empty() {
            self.engine_version =
                self.around.engine.version().await.map_err(|error| chain(&error))?;
        }
        self.containers = self.around.engine.list().await.map_err(|error| {
            self.engine_version.clear();
            chain(&error)
        })?;
        Ok(())
    }

    /// The engine answers again: nobody knows what it did to bridge, rules and containers.
    fn returned(&mut self, target: &NodeTarget) {
        let now = Instant::now();
        self.around.network.recheck();
        for instance in &target.instances {
            let life = self.around.memory.lives.get_mut(&instance.id);
            if let Some((life, container)) = life.zip(container_of(&self.containers, instance)) {
                life.ended_with_engine(instance, container, now);
            }
        }
    }

    fn observe(&mut self, target: &NodeTarget) {
        let now = Instant::now();
        let lives = &mut self.around.memory.lives;
        lives.retain(|id, _| target.instances.iter().any(|instance| instance.id == *id));
        for instance in &target.instances {
            let life = lives.entry(instance.id).or_default();
            let crashes = life.crashes;
            if let Some(container) = container_of(&self.containers, instance) {
                life.observe(instance, container, now);
            }
            if let (true, Some(reason)) = (life.crashes > crashes, &life.reason) {
                self.around.followers.say(instance.id, &reason.text);
            }
        }
        self.strays.retain(|id, _| self.containers.iter().any(|container| container.id == *id));
    }

    async fn isolate(&mut self, target: &NodeTarget) -> Option<Reason> {
        let addresses: BTreeMap<Ipv4Addr, ProjectId> =
            target.instances.iter().map(|i| (i.address, i.project)).collect();
        match self.around.network.assert(&self.around.engine, &addresses).await {
            Ok(drift) => drift,
            Err(error) => {
                let text = format!("nothing is started: {}", chain(&error));
                Some(Reason::new(UNISOLATED, text))
            }
        }
    }

    /// Gives up instances whose address is of another network than the node's: while nothing ran
    /// here, somebody took the old one or the pool was changed. They are replaced, with addresses
    /// of this one.
    fn give_up_strangers(&mut self, target: &NodeTarget) {
        let Some(subnet) = self.around.network.bridge().subnet() else { return };
        for instance in &target.instances {
            let life = self.around.memory.lives.get_mut(&instance.id);
            if let Some(life) = life.filter(|_| !subnet.contains(instance.address)) {
                life.given_up.get_or_insert_with(|| {
                    let address = instance.address;
                    let text = format!("its address {address} is not of this node's {subnet}");
                    Reason::new(ADDRESS_LOST, text)
                });
            }
        }
    }

    fn act(&mut self, target: &Arc<NodeTarget>) {
        let free = (cores() as usize).saturating_sub(self.starts);
        let actions = plan(&View {
            target,
            containers: &self.containers,
            lives: &self.around.memory.lives,
            strays: &self.strays,
            busy: &self.busy,
            unread: &self.around.followers.unread(),
            isolated: &self.around.network.isolated(),
            idle_images: &self.images.idle(),
            image_rest: if self.around.space.borrow().is_some() {
                SHORT_IMAGE_REST
            } else {
                IMAGE_REST
            },
            free_starts: free,
            now: Instant::now(),
        });
        for action in actions {
            self.note(&action);
            tracing::debug!(?action, "acting");
            let key = self.work.begin(action, target);
            self.busy.insert(key);
        }
        self.forget_troubles(target);
    }

    /// What the engine did not do and nobody wants any more is no trouble.
    fn forget_troubles(&mut self, target: &NodeTarget) {
        for instance in &target.instances {
            let container = container_of(&self.containers, instance);
            let under_way = self.busy.contains(&instance.id.to_string())
                || container.is_some_and(|container| self.busy.contains(&container.id));
            let life = self.around.memory.lives.get_mut(&instance.id);
            if let Some(life) = life.filter(|_| !under_way) {
                life.trouble = None;
            }
        }
    }

    fn note(&mut self, action: &Action) {
        match action {
            Action::Launch(_) | Action::Start(..) => self.starts += 1,
            Action::Terminate(id) => {
                let now = Instant::now();
                let instance =
                    self.containers.iter().find(|c| c.id == *id).and_then(|c| c.instance);
                match instance.and_then(|id| self.around.memory.lives.get_mut(&id)) {
                    Some(life) => life.terminated_at = Some(now),
                    None => {
                        self.strays.insert(id.clone(), now);
                    }
                }
            }
            _ => {}
        }
    }

    fn publish(&self, target: Option<&NodeTarget>, mut problems: Vec<Reason>) {
        problems.extend(self.around.space.borrow().clone());
        let instances = target.map_or_else(Vec::new, |target| {
            target.instances.iter().map(|instance| self.report(instance, &problems)).collect()
        });
        self.snapshots.send_replace(Snapshot {
            applied: target.map(|target| target.position),
            subnet: self.around.network.bridge().subnet(),
            engine_version: self.engine_version.clone(),
            instances,
            images: self.images.reports(),
            images_listed_at: self.images.listed_at(),
            problems,
        });
    }

    fn report(&self, instance: &InstanceTarget, problems: &[Reason]) -> (InstanceReport, i32) {
        let container = container_of(&self.containers, instance);
        let life = self.around.memory.lives.get(&instance.id).cloned().unwrap_or_default();
        let phase = life.phase(instance, container);
        let report = InstanceReport {
            id: instance.id,
            phase,
            reason: life
                .shown_reason(phase)
                .or_else(|| self.waiting_reason(instance, phase, problems)),
            restarts: life.restarts(),
            exit_code: life.exit_code,
            oom_killed: life.oom_killed,
            usage: None,
        };
        (report, container.map_or(0, |container| container.pid))
    }

    /// Why an instance that never failed still waits.
    fn waiting_reason(
        &self,
        instance: &InstanceTarget,
        phase: InstancePhase,
        problems: &[Reason],
    ) -> Option<Reason> {
        if phase != InstancePhase::Waiting {
            return None;
        }
        let stops = |problem: &&Reason| problem.code == ENGINE_AWAY || problem.code == UNISOLATED;
        if let Some(problem) = problems.iter().find(stops) {
            return Some(problem.clone());
        }
        let container = container_of(&self.containers, instance);
        let changing = container.filter(|it| it.state == ContainerState::Changing);
        Some(if self.busy.contains(&instance.id.to_string()) {
            Reason::new("engine_starts", "docker engine is starting it")
        } else if let Some(container) = changing {
            let mut text = "docker engine is still at work on its container".to_owned();
            if !container.error.is_empty() {
                text = format!("docker engine does not show its container: {}", container.error);
            }
            Reason::new("engine_works", text)
        } else if self.around.network.is_isolated(instance.address, instance.project) {
            Reason::new("queued", "waits for other instances of this node to start")
        } else {
            Reason::new("not_isolated", "waits for this node's firewall rules")
        })
    }
}

fn container_of<'a>(
    containers: &'a [Container],
    instance: &InstanceTarget,
) -> Option<&'a Container> {
    containers.iter().find(|container| container.instance == Some(instance.id))
}
