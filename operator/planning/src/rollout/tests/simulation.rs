//! A world in which plans are carried out: one node, some edges, time that a test moves.

use zeitwork_model::environment::WEB;

use super::*;
use crate::routes::serving;

/// What instances of a deployment do once they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Healthy,
    Never,
    Crash,
}

pub struct World {
    pub view: View,
    /// Routes as each edge has them; a frozen one follows nothing.
    pub edges: Vec<(BTreeSet<InstanceId>, bool)>,
    pub fates: BTreeMap<DeploymentId, Fate>,
    /// All deployments and instances in the order in which they were made.
    pub deployments: Vec<DeploymentId>,
    pub made: Vec<InstanceId>,
}

impl World {
    pub fn new(edges: usize) -> Self {
        let view = View {
            now: OffsetDateTime::UNIX_EPOCH,
            deleted: false,
            paused: false,
            wanted: None,
            live: None,
            retired: None,
            replicas: BTreeMap::from([(WEB.to_owned(), 1)]),
            instances: Vec::new(),
            routed: BTreeSet::new(),
            edges: Edges { applied: true, ..Edges::default() },
            failures: Vec::new(),
        };
        let edges = vec![(BTreeSet::new(), false); edges];
        let (fates, deployments, made) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { view, edges, fates, deployments, made }
    }

    /// A new deployment has its image.
    pub fn push(&mut self, fate: Fate) -> DeploymentId {
        let deployment = DeploymentId::new();
        self.deployments.push(deployment);
        self.fates.insert(deployment, fate);
        self.wish(deployment);
        deployment
    }

    /// An earlier deployment is wished for again.
    pub fn wish(&mut self, deployment: DeploymentId) {
        self.view.wanted = None;
        if self.view.live.as_ref().is_some_and(|live| live.deployment == deployment) {
            return;
        }
        self.view.failures.retain(|f| f.deployment != deployment);
        let processes = BTreeMap::from([(WEB.to_owned(), Duration::seconds(60))]);
        self.view.wanted = Some(Release { deployment, since: self.view.now, processes });
    }

    pub fn scale(&mut self, replicas: u32) {
        self.view.replicas.insert(WEB.to_owned(), replicas);
    }

    /// Pauses or resumes; what waited has all its time from then on.
    pub fn pause(&mut self, paused: bool) {
        self.view.paused = paused;
        if let Some(wanted) = self.view.wanted.as_mut().filter(|_| !paused) {
            wanted.since = self.view.now;
        }
    }

    pub fn pass_time(&mut self, by: Duration) {
        self.view.now += by;
    }

    /// The reconciler `routes`; returns whether something changed.
    pub fn write_routes(&mut self) -> bool {
        let routed: BTreeSet<InstanceId> = serving(&self.view).iter().map(|i| i.id).collect();
        let changed = routed != self.view.routed;
        self.view.routed = routed;
        self.look_at_edges();
        changed
    }

    /// Edges that are not frozen follow.
    pub fn edges_follow(&mut self) {
        for (table, frozen) in &mut self.edges {
            if !*frozen {
                table.clone_from(&self.view.routed);
            }
        }
        self.look_at_edges();
    }

    fn look_at_edges(&mut self) {
        let routed = &self.view.routed;
        self.view.edges.applied = self.edges.iter().all(|(table, _)| table == routed);
    }

    /// The node does as it was told.
    pub fn node_works(&mut self) {
        let mut gone = Vec::new();
        for instance in self.view.instances.iter_mut().filter(|i| !i.lost) {
            let fate = self.fates.get(&instance.deployment).copied().unwrap_or(Fate::Healthy);
            match (instance.goal, instance.status, fate) {
                (InstanceGoal::Stop, ..) => gone.push(instance.id),
                (InstanceGoal::Run, InstanceStatus::Pending, _) => {
                    instance.status = InstanceStatus::Starting;
                }
                (InstanceGoal::Run, InstanceStatus::Starting, Fate::Healthy) => {
                    instance.status = InstanceStatus::Healthy;
                    instance.was_healthy = true;
                    instance.reason = None;
                }
                (InstanceGoal::Run, InstanceStatus::Starting, Fate::Never) => {
                    instance.reason = Some(Reason::new("status", "it answers 500 on /"));
                }
                (InstanceGoal::Run, InstanceStatus::Starting, Fate::Crash) => {
                    gone.push(instance.id);
                }
                _ => {}
            }
        }
        for id in gone {
            self.remove(id);
        }
    }

    /// An instance ends by itself, or as it was told.
    pub fn remove(&mut self, id: InstanceId) {
        let Some(at) = self.view.instances.iter().position(|i| i.id == id) else { return };
        let gone = self.view.instances.remove(at);
        if gone.goal == InstanceGoal::Stop {
            return;
        }
        let known = |f: &&mut Failures| f.deployment == gone.deployment;
        let count = match self.view.failures.iter_mut().find(known) {
            Some(failures) => {
                failures.count += 1;
                failures.last_at = self.view.now;
                return;
            }
            None => 1,
        };
        self.view.failures.push(Failures {
            deployment: gone.deployment,
            process: gone.process,
            count,
            last_at: self.view.now,
            reason: Reason::new("exited", "exit code 1"),
        });
    }

    /// Carries one step out.
    pub fn apply(&mut self, action: &Action) {
        let now = self.view.now;
        match action {
            Action::Start(deployment, process) => {
                // The guard of the database's step.
                let members = self.view.members(*deployment, process);
                let members = members.filter(|i| i.is_member()).count();
                let most = self.view.most_members(*deployment, process);
                assert!(members < most, "refused: there are {members} members of {most}");
                let id = InstanceId::new();
                self.made.push(id);
                self.view.instances.push(instance(id, *deployment, process));
            }
            Action::GoLive(deployment) => {
                let wanted = self.view.wanted.take().filter(|w| w.deployment == *deployment);
                let before = self.view.live.replace(wanted.unwrap());
                self.view.retired = before.map(|release| release.deployment);
            }
            Action::Fail(..) => self.view.wanted = None,
            Action::GiveUp(id) => self.view.instances.retain(|i| i.id != *id),
            Action::Revive(id) => {
                let it = self.find(*id);
                // What was never frozen is as healthy as it was.
                let awake = it.goal == InstanceGoal::Run && it.deadline_at.is_none();
                it.status = if awake { InstanceStatus::Healthy } else { InstanceStatus::Starting };
                it.goal = InstanceGoal::Run;
                (it.draining_at, it.rested_at, it.deadline_at) = (None, None, None);
            }
            Action::Drain(id) => {
                let it = self.find(*id);
                (it.status, it.draining_at) = (InstanceStatus::Draining, Some(now));
            }
            Action::Rest(id) => {
                let it = self.find(*id);
                (it.goal, it.rested_at) = (InstanceGoal::Pause, Some(now));
            }
            Action::Stop(id) => {
                let it = self.find(*id);
                (it.goal, it.status) = (InstanceGoal::Stop, InstanceStatus::Draining);
                it.draining_at.get_or_insert(now);
            }
        }
    }

    pub fn find(&mut self, id: InstanceId) -> &mut Instance {
        self.view.instances.iter_mut().find(|i| i.id == id).unwrap()
    }

    /// One look of everybody; returns the steps.
    pub fn round(&mut self) -> Vec<Action> {
        self.write_routes();
        let actions = plan(&self.view);
        for action in &actions {
            self.apply(action);
        }
        self.node_works();
        self.edges_follow();
        actions
    }

    /// Rounds until nobody does anything; the number of rounds.
    pub fn settle(&mut self) -> usize {
        for round in 1..100 {
            let before = self.view.instances.clone();
            let routed = self.write_routes();
            if self.round().is_empty() && !routed && before == self.view.instances {
                return round;
            }
        }
        panic!("does not settle: {:?}", plan(&self.view));
    }

    /// What edges send requests to and answers.
    pub fn serves(&self) -> bool {
        let up = |id: &InstanceId| {
            self.view.instances.iter().any(|i| {
                i.id == *id
                    && !i.lost
                    && i.deadline_at.is_none()
                    && i.goal == InstanceGoal::Run
                    && matches!(i.status, InstanceStatus::Healthy | InstanceStatus::Draining)
            })
        };
        self.edges.iter().all(|(table, _)| table.iter().any(up))
    }
}

pub fn instance(id: InstanceId, deployment: DeploymentId, process: &str) -> Instance {
    Instance {
        id,
        deployment,
        process: process.to_owned(),
        status: InstanceStatus::Pending,
        goal: InstanceGoal::Run,
        was_healthy: false,
        lost: false,
        moving: false,
        reason: None,
        drain: Duration::seconds(30),
        draining_at: None,
        rested_at: None,
        deadline_at: None,
    }
}
