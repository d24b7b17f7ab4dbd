//! Scenario texts: lines with `>` happen, the others are what follows, rendered. The test
//! compares; with `ZEITWORK_SCENARIOS=write` it writes what follows now.

use std::fmt::Write as _;
use std::path::Path;

use super::simulation::Fate;
use super::*;

#[test]
fn every_scenario_goes_as_it_is_told() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut told = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let now = replay(&text);
        if std::env::var_os("ZEITWORK_SCENARIOS").is_some() {
            std::fs::write(&path, &now).unwrap();
            told += 1;
            continue;
        }
        assert_eq!(text, now, "{}", path.display());
        told += 1;
    }
    assert!(told >= 5);
}

fn replay(text: &str) -> String {
    let mut world = World::new(2);
    let mut out = String::new();
    for line in text.lines().filter(|l| l.starts_with('>') || l.starts_with('#')) {
        writeln!(out, "{line}").unwrap();
        let Some(event) = line.strip_prefix("> ") else { continue };
        happen(&mut world, event);
        for _ in 0..30 {
            let routed = world.write_routes().then(|| route(&world));
            let before = world.view.instances.clone();
            let actions = plan(&world.view);
            let lines = actions.iter().map(|action| render(&mut world, action));
            let lines: Vec<String> = routed.into_iter().chain(lines.collect::<Vec<_>>()).collect();
            world.node_works();
            world.edges_follow();
            for line in &lines {
                writeln!(out, "  {line}").unwrap();
            }
            if lines.is_empty() && before == world.view.instances {
                break;
            }
        }
    }
    out
}

fn happen(world: &mut World, event: &str) {
    let words: Vec<&str> = event.split(' ').collect();
    match words[..] {
        ["push"] => drop(world.push(Fate::Healthy)),
        ["push", "never", "healthy"] => drop(world.push(Fate::Never)),
        ["push", "crashing"] => drop(world.push(Fate::Crash)),
        ["roll", "back", "to", name] => {
            let n: usize = name[1..].parse().unwrap();
            world.wish(world.deployments[n - 1]);
        }
        ["scale", n] => world.scale(n.parse().unwrap()),
        ["wait", seconds, "s"] => world.pass_time(Duration::seconds(seconds.parse().unwrap())),
        ["freeze", "edge"] => world.edges[0].1 = true,
        ["thaw", "edge"] => {
            world.edges[0].1 = false;
            world.edges_follow();
        }
        ["pause"] => world.pause(true),
        ["resume"] => world.pause(false),
        ["delete"] => {
            world.view.deleted = true;
            world.view.live = None;
        }
        ["crash", name] => {
            let id = world.made[name[1..].parse::<usize>().unwrap() - 1];
            world.remove(id);
        }
        ["lose", name] => {
            let id = world.made[name[1..].parse::<usize>().unwrap() - 1];
            world.find(id).lost = true;
        }
        _ => panic!("no such event: {event}"),
    }
}

fn route(world: &World) -> String {
    let names: Vec<String> = world.view.routed.iter().map(|id| name(world, *id)).collect();
    format!("route to {}", if names.is_empty() { "nothing".into() } else { names.join(", ") })
}

fn name(world: &World, id: InstanceId) -> String {
    let n = world.made.iter().position(|made| *made == id).unwrap() + 1;
    format!("i{n}")
}

fn release(world: &World, id: DeploymentId) -> String {
    let n = world.deployments.iter().position(|made| *made == id).unwrap() + 1;
    format!("d{n}")
}

/// Carries a step out and says it.
fn render(world: &mut World, action: &Action) -> String {
    world.apply(action);
    let world = &*world;
    match action {
        Action::Start(deployment, process) => {
            let id = world.made[world.made.len() - 1];
            format!("start {} ({process} of {})", name(world, id), release(world, *deployment))
        }
        Action::Revive(id) => format!("revive {}", name(world, *id)),
        Action::GoLive(deployment) => format!("{} is live", release(world, *deployment)),
        Action::Fail(deployment, reason) => {
            format!("{} failed: {}", release(world, *deployment), reason.text)
        }
        Action::Drain(id) => format!("drain {}", name(world, *id)),
        Action::Rest(id) => format!("rest {}", name(world, *id)),
        Action::Stop(id) => format!("stop {}", name(world, *id)),
        Action::GiveUp(id) => format!("give up {}", name(world, *id)),
    }
}
