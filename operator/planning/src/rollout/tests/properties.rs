//! What holds whatever happens (safety), and what comes about once nothing more happens
//! (liveness).

use proptest::prelude::*;
use zeitwork_model::environment::WEB;

use super::simulation::Fate;
use super::*;
use crate::routes::serving;

/// What may happen to an environment.
#[derive(Debug, Clone)]
enum Event {
    Push(Fate),
    RollBack(usize),
    Scale(u32),
    Crash(usize),
    Unhealthy(usize),
    Recover(usize),
    Lose(usize),
    Return(usize),
    Move(usize),
    Freeze(usize, bool),
    Pause(bool),
    Time(i64),
    Node,
    Edges,
    Routes,
    Round,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let fate =
        prop_oneof![3 => Just(Fate::Healthy), 1 => Just(Fate::Never), 1 => Just(Fate::Crash)];
    let event = prop_oneof![
        3 => fate.prop_map(Event::Push),
        2 => (0..4usize).prop_map(Event::RollBack),
        2 => (0..4u32).prop_map(Event::Scale),
        1 => (0..8usize).prop_map(Event::Crash),
        1 => (0..8usize).prop_map(Event::Unhealthy),
        1 => (0..8usize).prop_map(Event::Recover),
        1 => (0..8usize).prop_map(Event::Lose),
        1 => (0..8usize).prop_map(Event::Return),
        1 => (0..8usize).prop_map(Event::Move),
        2 => (0..2usize, any::<bool>()).prop_map(|(i, frozen)| Event::Freeze(i, frozen)),
        1 => any::<bool>().prop_map(Event::Pause),
        2 => (1..700i64).prop_map(Event::Time),
        6 => Just(Event::Node),
        6 => Just(Event::Edges),
        6 => Just(Event::Routes),
        12 => Just(Event::Round),
    ];
    proptest::collection::vec(event, 0..80)
}

fn nth(world: &mut World, n: usize) -> Option<&mut Instance> {
    let count = world.view.instances.len();
    world.view.instances.get_mut(n % count.max(1))
}

/// What happens, other than the operator's own steps.
fn happen(world: &mut World, event: &Event) {
    let now = world.view.now;
    match *event {
        Event::Push(fate) => {
            world.push(fate);
        }
        Event::RollBack(n) if n < world.deployments.len() => world.wish(world.deployments[n]),
        Event::Scale(replicas) => world.scale(replicas),
        Event::Crash(n) => {
            if let Some(id) = nth(world, n).filter(|i| !i.lost).map(|i| i.id) {
                world.remove(id);
            }
        }
        Event::Unhealthy(n) => {
            if let Some(it) = nth(world, n).filter(|i| i.status == InstanceStatus::Healthy) {
                it.status = InstanceStatus::Unhealthy;
                it.deadline_at = Some(now + Duration::seconds(30));
            }
        }
        Event::Recover(n) => {
            if let Some(it) = nth(world, n).filter(|i| i.status == InstanceStatus::Unhealthy) {
                (it.status, it.deadline_at) = (InstanceStatus::Healthy, None);
            }
        }
        Event::Lose(n) => drop(nth(world, n).map(|it| it.lost = true)),
        Event::Return(n) => drop(nth(world, n).map(|it| it.lost = false)),
        Event::Move(n) => drop(nth(world, n).map(|it| it.moving = true)),
        Event::Freeze(n, frozen) => world.edges[n].1 = frozen,
        Event::Pause(paused) => world.pause(paused),
        Event::Time(seconds) => world.pass_time(Duration::seconds(seconds)),
        Event::Node => world.node_works(),
        Event::Edges => world.edges_follow(),
        Event::Routes => {
            world.write_routes();
        }
        Event::RollBack(_) | Event::Round => {}
    }
}

/// Nothing shall serve: then dark is right.
fn wants_dark(view: &View) -> bool {
    view.paused || view.deleted || view.wanted_replicas(WEB) == 0
}

fn check_routes(world: &World) -> Result<(), TestCaseError> {
    for it in serving(&world.view) {
        prop_assert!(it.is_healthy(), "routed though not healthy: {:?}", it);
    }
    Ok(())
}

/// Carries a plan out and checks after each step.
fn act(world: &mut World) -> Result<(), TestCaseError> {
    world.write_routes();
    check_routes(world)?;
    for action in plan(&world.view) {
        if let Action::Rest(id) | Action::Stop(id) | Action::GiveUp(id) = &action {
            let known = world.edges.iter().any(|(table, _)| table.contains(id));
            prop_assert!(!known, "an edge may still send requests to it: {:?}", action);
        }
        if let Action::GoLive(deployment) = &action {
            prop_assert!(!world.view.paused, "live though it never ran");
            let all = &world.view.instances;
            let of_it = |id| all.iter().any(|i| i.id == id && i.deployment == *deployment);
            let everywhere = world.edges.iter().all(|(t, _)| t.iter().all(|id| of_it(*id)));
            prop_assert!(everywhere, "live though not every edge routes to it");
        }
        let served = world.serves();
        world.apply(&action);
        prop_assert!(
            !served || world.serves() || wants_dark(&world.view),
            "went dark after {:?}",
            action
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_serving_environment_never_goes_dark(events in events()) {
        let mut world = World::new(2);
        for event in &events {
            happen(&mut world, event);
            act(&mut world)?;
        }
    }

    #[test]
    fn whatever_happened_it_comes_to_rest_as_wanted(events in events()) {
        let mut world = World::new(2);
        for event in &events {
            happen(&mut world, event);
            act(&mut world)?;
        }
        for (_, frozen) in &mut world.edges {
            *frozen = false;
        }
        for it in &mut world.view.instances {
            it.lost = false;
            if it.status == InstanceStatus::Unhealthy {
                (it.status, it.deadline_at) = (InstanceStatus::Healthy, None);
            }
        }
        // Failed deployments are given up, pauses between restarts end, what rests stops.
        for _ in 0..4 {
            world.view.failures.clear();
            world.settle();
            world.pass_time(Duration::minutes(11));
        }
        world.view.failures.clear();
        let rounds = world.settle();
        prop_assert!(rounds <= 3, "still busy after {} rounds", rounds);
        let waits = world.view.wanted.is_some();
        prop_assert!(!waits || world.view.paused, "neither live nor failed");
        let wanted = world.view.live.as_ref().map_or(0, |_| world.view.wanted_replicas(WEB));
        let fate = world.view.live.as_ref().map(|l| world.fates[&l.deployment]);
        if fate == Some(Fate::Healthy) {
            prop_assert_eq!(world.view.routed.len(), wanted);
            prop_assert_eq!(world.view.instances.len(), wanted);
        }
        prop_assert_eq!(plan(&world.view), Vec::new());
    }
}
