//! Cases by table: one fact of the view, and what follows from it.

use zeitwork_model::environment::WEB;

use super::simulation::Fate;
use super::*;

/// A world with one deployment live on so many instances.
fn live(replicas: u32) -> World {
    let mut world = World::new(1);
    world.scale(replicas);
    world.push(Fate::Healthy);
    world.settle();
    world
}

#[test]
fn nothing_is_done_where_nothing_is_wanted() {
    assert_eq!(plan(&World::new(1).view), []);
    assert_eq!(plan(&live(3).view), []);
}

#[test]
fn a_wish_starts_as_many_instances_as_are_wanted() {
    for replicas in [0, 1, 3] {
        let mut world = World::new(1);
        world.scale(replicas);
        let wanted = world.push(Fate::Healthy);
        let starts = plan(&world.view);
        let start = Action::Start(wanted, WEB.to_owned());
        let live = Action::GoLive(wanted);
        let expected = if replicas == 0 { vec![live] } else { vec![start; replicas as usize] };
        assert_eq!(starts, expected, "{replicas}");
    }
}

#[test]
fn a_failure_says_how_many_were_healthy_and_why_the_others_were_not() {
    let table = [
        (Fate::Never, 91, "not_healthy", "0 of 2 instances healthy; it answers 500 on /"),
        (Fate::Crash, 0, "exited", "0 of 2 instances healthy; exit code 1"),
    ];
    for (fate, seconds, code, text) in table {
        let mut world = World::new(1);
        world.scale(2);
        let wanted = world.push(fate);
        for _ in 0..3 {
            if !matches!(plan(&world.view)[..], [Action::Fail(..)]) {
                world.round();
            }
        }
        world.pass_time(Duration::seconds(seconds));
        let code = if fate == Fate::Never { "status" } else { code };
        let expected = Action::Fail(wanted, Reason::new(code, text));
        assert_eq!(plan(&world.view), [expected], "{fate:?}");
    }
}

#[test]
fn what_ends_by_itself_is_replaced_after_a_pause_that_doubles() {
    for (count, seconds) in [(1, 2), (2, 4), (5, 32), (20, 300)] {
        let mut world = live(1);
        world.remove(world.view.instances[0].id);
        world.view.failures[0].count = count;
        world.pass_time(Duration::seconds(seconds - 1));
        assert_eq!(plan(&world.view), [], "{count} failures");
        world.pass_time(Duration::seconds(1));
        assert_eq!(plan(&world.view).len(), 1, "{count} failures");
    }
}

#[test]
fn in_flight_requests_hold_a_draining_instance_until_its_time_is_over() {
    let table = [
        (0, false, 1, true),
        (2, false, 1, false),
        (2, false, 31, true),
        (0, true, 1, false),
        (0, true, 31, true),
    ];
    for (in_flight, silent, seconds, leaves) in table {
        let mut world = live(2);
        world.scale(1);
        world.round();
        world.write_routes();
        world.edges_follow();
        let id = world.view.instances.iter().find(|i| i.draining_at.is_some()).unwrap().id;
        world.view.edges.in_flight.insert(id, in_flight);
        world.view.edges.silent = silent;
        world.pass_time(Duration::seconds(seconds));
        let stops = plan(&world.view) == [Action::Stop(id)];
        assert_eq!(stops, leaves, "{in_flight} in flight, silent {silent}, after {seconds} s");
    }
}

#[test]
fn a_lost_instance_serves_until_another_can() {
    let mut world = live(1);
    let lost = world.view.instances[0].id;
    world.find(lost).lost = true;
    world.write_routes();
    assert!(world.view.routed.contains(&lost), "it may well be up");
    world.settle();
    assert!(!world.view.instances.iter().any(|i| i.id == lost));
    assert!(world.serves());
}

#[test]
fn only_what_served_last_rests() {
    let mut world = live(1);
    world.push(Fate::Healthy);
    world.settle();
    let resting = |world: &World| {
        world.view.instances.iter().filter(|i| i.goal == InstanceGoal::Pause).count()
    };
    assert_eq!(resting(&world), 1);
    world.push(Fate::Healthy);
    world.settle();
    assert_eq!(resting(&world), 1, "the one before the last is gone");
    world.pass_time(REST);
    world.settle();
    assert_eq!(resting(&world), 0);
}

#[test]
fn waiting_says_for_what() {
    let mut world = World::new(1);
    world.push(Fate::Healthy);
    let text = waiting(&world.view).map(|reason| reason.text);
    assert_eq!(
        text.as_deref(),
        Some("0 of 1 instances healthy; no ready node that has its image has room")
    );
    world.round();
    world.round();
    let text = waiting(&world.view).map(|reason| reason.text);
    assert_eq!(text.as_deref(), Some("The instances are healthy; the edges take the route."));
}
