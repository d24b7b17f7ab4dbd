use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use zeitwork_model::environment::{HealthCheck, Limits};
use zeitwork_model::generation::Position;
use zeitwork_model::id::{DeploymentId, EnvironmentId, InstanceId, OrganisationId, ProjectId};
use zeitwork_model::instance::InstanceGoal;
use zeitwork_model::reason::Reason;
use zeitwork_protocol::sealed::Sealed;
use zeitwork_protocol::target::{InstanceTarget, NodeTarget};

use super::{Action, IMAGE_REST, IdleImage, View, plan};
use crate::container::specification::settled_quota;
use crate::container::{Container, ContainerState};
use crate::life::Life;

pub fn target(number: u8) -> InstanceTarget {
    InstanceTarget {
        id: InstanceId::new(),
        organisation: OrganisationId::new(),
        project: ProjectId::new(),
        environment: EnvironmentId::new(),
        deployment: DeploymentId::new(),
        process: "web".into(),
        commit: "0".repeat(40),
        goal: InstanceGoal::Run,
        image: "sha256:0".into(),
        command: Vec::new(),
        address: Ipv4Addr::new(10, 0, 0, number),
        port: 8080,
        names: Vec::new(),
        health: HealthCheck::default(),
        limits: Limits::default(),
        stop_grace_ms: 10_000,
        variables: Sealed { key: String::new(), data: String::new() },
    }
}

pub fn container(target: &InstanceTarget, state: ContainerState) -> Container {
    Container {
        id: format!("container of {}", target.id),
        instance: Some(target.id),
        state,
        pid: 1,
        started_at: String::new(),
        exit_code: 0,
        oom_killed: false,
        error: String::new(),
        cpu_quota: 0,
    }
}

/// A node whose engine does at once what it is told.
#[derive(Debug, Clone)]
struct World {
    target: NodeTarget,
    containers: Vec<Container>,
    lives: BTreeMap<InstanceId, Life>,
    strays: BTreeMap<String, Instant>,
    isolated: bool,
    free_starts: usize,
    now: Instant,
    starts: u32,
    /// Ignores SIGTERM.
    stubborn: bool,
}

impl World {
    fn new(instances: Vec<InstanceTarget>) -> Self {
        let target = NodeTarget {
            version: 1,
            minimum_reader: 1,
            position: Position::default(),
            instances,
            builds: Vec::new(),
            keep_images: Vec::new(),
        };
        Self {
            target,
            containers: Vec::new(),
            lives: BTreeMap::new(),
            strays: BTreeMap::new(),
            isolated: true,
            free_starts: 2,
            now: Instant::now(),
            starts: 0,
            stubborn: false,
        }
    }

    fn plan(&self) -> Vec<Action> {
        let isolated: BTreeMap<_, _> =
            self.target.instances.iter().map(|i| (i.address, i.project)).collect();
        plan(&View {
            target: &self.target,
            containers: &self.containers,
            lives: &self.lives,
            strays: &self.strays,
            busy: &BTreeSet::new(),
            unread: &BTreeSet::new(),
            isolated: if self.isolated { &isolated } else { const { &BTreeMap::new() } },
            idle_images: &[],
            image_rest: IMAGE_REST,
            free_starts: self.free_starts,
            now: self.now,
        })
    }

    fn of(&mut self, id: &str) -> &mut Container {
        self.containers.iter_mut().find(|container| container.id == id).unwrap()
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::Launch(id) => {
                let target = self.target.instances.iter().find(|i| i.id == *id).unwrap();
                self.containers.push(container(target, ContainerState::Created));
                let container = format!("container of {id}");
                self.apply(&Action::Start(*id, container));
            }
            Action::Start(_, id) => {
                self.starts += 1;
                let start = format!("start {}", self.starts);
                let container = self.of(id);
                container.state = ContainerState::Running;
                container.started_at = start;
            }
            Action::Pause(id) => self.of(id).state = ContainerState::Paused,
            Action::Unpause(id) => self.of(id).state = ContainerState::Running,
            Action::Settle(instance, id) => {
                let limits =
                    self.target.instances.iter().find(|i| i.id == *instance).unwrap().limits;
                self.of(id).cpu_quota = settled_quota(limits);
            }
            Action::Terminate(id) => self.terminate(id),
            Action::Kill(id) => self.of(id).state = ContainerState::Exited,
            Action::Remove(id) => self.containers.retain(|container| container.id != *id),
            Action::RemoveImage(_) => {}
        }
    }

    fn terminate(&mut self, id: &str) {
        let (now, stubborn) = (self.now, self.stubborn);
        let instance = self.of(id).instance;
        match instance.and_then(|id| self.lives.get_mut(&id)) {
            Some(life) => life.terminated_at = Some(now),
            None => {
                self.strays.insert(id.to_owned(), now);
            }
        }
        if !stubborn {
            self.of(id).state = ContainerState::Exited;
        }
    }

    fn look(&mut self) {
        let Self { lives, target, containers, now, .. } = self;
        lives.retain(|id, _| target.instances.iter().any(|instance| instance.id == *id));
        for instance in &target.instances {
            let life = lives.entry(instance.id).or_default();
            if let Some(container) = containers.iter().find(|c| c.instance == Some(instance.id)) {
                life.observe(instance, container, *now);
                if container.state == ContainerState::Running && instance.goal == InstanceGoal::Run
                {
                    life.passed(*now);
                }
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..60 {
            self.look();
            for action in self.plan() {
                self.apply(&action);
            }
            self.now += Duration::from_secs(1);
        }
        self.look();
    }
}

#[test]
fn nothing_starts_where_isolation_is_missing() {
    let mut world = World::new(vec![target(1)]);
    world.isolated = false;
    world.look();
    assert_eq!(world.plan(), vec![]);
    world.isolated = true;
    assert_eq!(world.plan(), vec![Action::Launch(world.target.instances[0].id)]);
}

#[test]
fn no_more_starts_at_once_than_there_are_cores() {
    let mut world = World::new((1..=5).map(target).collect());
    world.look();
    assert_eq!(world.plan().len(), 2);
    world.free_starts = 0;
    assert_eq!(world.plan(), vec![]);
}

#[test]
fn a_stop_is_sigterm_then_the_grace_time_then_sigkill_then_removal() {
    let mut world = World::new(vec![target(1)]);
    world.stubborn = true;
    world.settle();
    let id = world.containers[0].id.clone();
    world.target.instances[0].goal = InstanceGoal::Stop;
    assert_eq!(world.plan(), vec![Action::Terminate(id.clone())]);
    world.apply(&Action::Terminate(id.clone()));
    world.now += Duration::from_millis(9_999);
    assert_eq!(world.plan(), vec![]);
    world.now += Duration::from_millis(1);
    assert_eq!(world.plan(), vec![Action::Kill(id.clone())]);
    world.apply(&Action::Kill(id.clone()));
    assert_eq!(world.plan(), vec![Action::Remove(id)]);
}

#[test]
fn what_was_given_up_is_stopped_and_kept_for_its_last_words() {
    let mut world = World::new(vec![target(1)]);
    world.settle();
    let instance = world.target.instances[0].id;
    let life = world.lives.get_mut(&instance).unwrap();
    life.given_up = Some(Reason::new("never_answered", "never"));
    world.settle();
    assert_eq!(world.containers[0].state, ContainerState::Exited);
    assert_eq!(world.plan(), vec![]);
}

#[test]
fn an_idle_image_is_removed_after_a_rest() {
    let world = World::new(Vec::new());
    let idle = |idle| IdleImage { image: "sha256:1".into(), idle };
    let view = |images: &[IdleImage]| {
        plan(&View {
            target: &world.target,
            containers: &[],
            lives: &BTreeMap::new(),
            strays: &BTreeMap::new(),
            busy: &BTreeSet::new(),
            unread: &BTreeSet::new(),
            isolated: &BTreeMap::new(),
            idle_images: images,
            image_rest: IMAGE_REST,
            free_starts: 1,
            now: Instant::now(),
        })
    };
    assert_eq!(view(&[idle(IMAGE_REST.checked_sub(Duration::from_secs(1)).unwrap())]), vec![]);
    assert_eq!(view(&[idle(IMAGE_REST)]), vec![Action::RemoveImage("sha256:1".into())]);
}

fn states() -> impl Strategy<Value = ContainerState> {
    prop_oneof![
        Just(ContainerState::Created),
        Just(ContainerState::Running),
        Just(ContainerState::Paused),
        Just(ContainerState::Exited),
    ]
}

fn goals() -> impl Strategy<Value = InstanceGoal> {
    prop_oneof![Just(InstanceGoal::Run), Just(InstanceGoal::Pause), Just(InstanceGoal::Stop)]
}

/// Instances of the target with or without a container, and containers that nobody wants.
fn worlds() -> impl Strategy<Value = World> {
    let wanted = prop::collection::vec((goals(), prop::option::of(states())), 0..6);
    let strays = prop::collection::vec((states(), any::<bool>()), 0..4);
    (wanted, strays, any::<bool>()).prop_map(|(wanted, strays, stubborn)| {
        let mut world = World::new(Vec::new());
        world.stubborn = stubborn;
        for (number, (goal, state)) in (1u8..).zip(wanted) {
            let instance = InstanceTarget { goal, ..target(number) };
            world.containers.extend(state.map(|state| container(&instance, state)));
            world.target.instances.push(instance);
        }
        for (number, (state, labelled)) in (100u8..).zip(strays) {
            let mut stray = container(&target(number), state);
            stray.instance = stray.instance.filter(|_| labelled);
            world.containers.push(stray);
        }
        world
    })
}

proptest! {
    /// Liveness: every goal is reached, nothing else is left, and then the planner is silent.
    #[test]
    fn the_node_becomes_what_the_target_says(mut world in worlds()) {
        world.settle();
        prop_assert_eq!(world.plan(), vec![]);
        for instance in &world.target.instances {
            let state = world
                .containers
                .iter()
                .find(|container| container.instance == Some(instance.id))
                .map(|container| container.state);
            let reached = match instance.goal {
                InstanceGoal::Run => state == Some(ContainerState::Running),
                InstanceGoal::Pause => state != Some(ContainerState::Running),
                InstanceGoal::Stop => state.is_none(),
            };
            prop_assert!(reached, "{:?} is {:?}", instance.goal, state);
        }
        let wanted = |id| world.target.instances.iter().any(|instance| Some(instance.id) == id);
        prop_assert!(world.containers.iter().all(|container| wanted(container.instance)));
    }

    /// Safety: whatever else happens, a wanted instance that runs and is healthy stays the same
    /// start of the same container, also under an agent that remembers nothing.
    #[test]
    fn a_wanted_healthy_instance_is_never_touched(mut world in worlds(), forget in any::<bool>()) {
        let serving: Vec<String> = world
            .containers
            .iter()
            .filter(|container| container.state == ContainerState::Running)
            .filter(|container| {
                let wants = |i: &InstanceTarget| {
                    Some(i.id) == container.instance && i.goal == InstanceGoal::Run
                };
                world.target.instances.iter().any(wants)
            })
            .map(|container| container.id.clone())
            .collect();
        for _ in 0..20 {
            if forget {
                world.lives.clear();
                world.strays.clear();
            }
            world.look();
            for action in world.plan() {
                let touched = match &action {
                    Action::Terminate(id) | Action::Kill(id) | Action::Remove(id)
                    | Action::Pause(id) | Action::Start(_, id) => Some(id.clone()),
                    Action::Launch(id) => Some(format!("container of {id}")),
                    _ => None,
                };
                prop_assert!(touched.is_none_or(|id| !serving.contains(&id)), "{:?}", action);
                world.apply(&action);
            }
            world.now += Duration::from_secs(1);
        }
    }
}
