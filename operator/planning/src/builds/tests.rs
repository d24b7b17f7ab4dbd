use proptest::prelude::*;
use time::Duration;

use super::*;

fn now() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::hours(1)
}

fn queued(project: ProjectId, organisation: OrganisationId, age: i64) -> Build {
    Build {
        id: BuildId::new(),
        organisation,
        project,
        priority: 0,
        created_at: now() - Duration::seconds(age),
        not_before: now() - Duration::seconds(age),
        deadline_at: Some(now() + Duration::minutes(30)),
        lease: None,
        attempt: 0,
        maximum_attempts: 3,
        cancel_requested: false,
        is_wanted: true,
        unreadable: None,
    }
}

fn any_build() -> Build {
    queued(ProjectId::new(), OrganisationId::new(), 1)
}

fn view(builds: Vec<Build>, rooms: &[usize]) -> View {
    let nodes = rooms.iter().map(|&room| Builder { id: NodeId::new(), room }).collect();
    View { now: now(), builds, nodes, hindrance: None }
}

#[test]
fn what_becomes_of_a_build_alone() {
    type Expected = fn(&Action) -> bool;
    let node = NodeId::new();
    let past = now() - Duration::seconds(1);
    let base = any_build();
    let running = |until| Build { lease: Some((node, until)), attempt: 1, ..any_build() };
    let table: Vec<(&str, Build, Expected)> = vec![
        ("cancel", Build { cancel_requested: true, ..base.clone() }, |a| {
            matches!(a, Action::Cancel(_))
        }),
        ("nobody waits", Build { is_wanted: false, ..base.clone() }, |a| {
            matches!(a, Action::Supersede(_))
        }),
        (
            "no builder",
            Build { deadline_at: Some(past), ..base },
            |a| matches!(a, Action::Fail(_, r) if r.code == "no_builder"),
        ),
        ("lease over", running(past), |a| matches!(a, Action::Requeue(_))),
        (
            "last lease over",
            Build { attempt: 3, ..running(past) },
            |a| matches!(a, Action::Fail(_, r) if r.code == "builder_lost"),
        ),
        (
            "too slow",
            Build { deadline_at: Some(past), ..running(now() + Duration::seconds(9)) },
            |a| matches!(a, Action::Fail(_, r) if r.code == "timeout"),
        ),
    ];
    for (what, build, expected) in table {
        let actions = plan(&view(vec![build], &[]));
        assert!(matches!(&actions[..], [one] if expected(one)), "{what}: {actions:?}");
    }
    assert_eq!(plan(&view(vec![running(now() + Duration::seconds(9))], &[1])), []);
}

#[test]
fn a_build_whose_source_cannot_be_read_waits_until_its_deadline() {
    let reason = Reason::new("source_unavailable", "GitHub does not answer.");
    let away = Build { unreadable: Some(reason.clone()), ..any_build() };
    let other = any_build();
    let mut world = view(vec![away.clone(), other.clone()], &[1]);
    let actions = plan(&world);
    assert_eq!(actions, [Action::Claim(other.id, world.nodes[0].id)], "it keeps nobody waiting");
    assert_eq!(waiting(&world, &actions, &away), Some(reason.clone()));
    world.builds[0].deadline_at = Some(now());
    assert_eq!(plan(&world)[0], Action::Fail(away.id, reason));
}

#[test]
fn every_build_that_waits_says_why() {
    let lease = Some((NodeId::new(), now() + Duration::seconds(9)));
    let running = Build { lease, ..any_build() };
    let same = queued(running.project, running.organisation, 1);
    let late = Build { not_before: now() + Duration::seconds(2), attempt: 1, ..any_build() };
    let table = [
        (view(vec![any_build()], &[]), Some("no_builder")),
        (view(vec![any_build(), any_build()], &[1]), Some("builders_busy")),
        (view(vec![running.clone(), same], &[2]), Some("project_builds")),
        (view(vec![running], &[2]), None),
        (view(vec![late], &[2]), Some("builder_lost")),
    ];
    for (world, code) in table {
        let actions = plan(&world);
        let waits: Vec<_> =
            world.builds.iter().filter_map(|b| waiting(&world, &actions, b)).collect();
        let codes: Vec<&str> = waits.iter().map(|reason| reason.code.as_str()).collect();
        assert_eq!(codes, code.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn organisations_take_turns() {
    let (loud, quiet) = (OrganisationId::new(), OrganisationId::new());
    let mut builds: Vec<Build> = (0..5).map(|n| queued(ProjectId::new(), loud, 100 - n)).collect();
    let late = queued(ProjectId::new(), quiet, 1);
    builds.push(late.clone());
    let view = view(builds, &[2]);
    let claimed: Vec<BuildId> = plan(&view).iter().map(claimed).collect();
    assert_eq!(claimed.len(), 2);
    assert!(claimed.contains(&late.id));
}

#[test]
fn a_project_builds_one_at_a_time() {
    let (project, organisation) = (ProjectId::new(), OrganisationId::new());
    let builds = vec![queued(project, organisation, 2), queued(project, organisation, 1)];
    assert_eq!(plan(&view(builds, &[4])).len(), 1);
}

fn claimed(action: &Action) -> BuildId {
    match action {
        Action::Claim(id, _) => *id,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn room_is_filled_and_never_exceeded(
        builds in proptest::collection::vec((0usize..6, 0usize..3, 0i64..100), 0..20),
        rooms in proptest::collection::vec(0usize..4, 0..4),
    ) {
        let projects: Vec<ProjectId> = (0..6).map(|_| ProjectId::new()).collect();
        let owners: Vec<OrganisationId> = (0..3).map(|_| OrganisationId::new()).collect();
        let waiting: BTreeSet<usize> = builds.iter().map(|b| b.0).collect();
        let builds =
            builds.iter().map(|&(p, o, age)| queued(projects[p], owners[o], age)).collect();
        let view = view(builds, &rooms);
        let actions = plan(&view);
        let room: usize = rooms.iter().sum();
        prop_assert_eq!(actions.len(), room.min(waiting.len()));
        for node in &view.nodes {
            let given = |a: &&Action| matches!(a, Action::Claim(_, id) if *id == node.id);
            prop_assert!(actions.iter().filter(given).count() <= node.room);
        }
        let unique: BTreeSet<BuildId> = actions.iter().map(claimed).collect();
        prop_assert_eq!(unique.len(), actions.len());
    }
}

#[test]
fn a_build_waits_for_a_builder_that_says_what_hinders_it() {
    let build = any_build();
    let hindrance = Some("one: the node has 1.2 GB free; builds need 2 GB".to_owned());
    let hindered = View { hindrance, ..view(vec![build.clone()], &[]) };
    let planned = plan(&hindered);
    assert_eq!(planned, []);
    let reason = waiting(&hindered, &planned, &build).unwrap();
    let text = "Waits for a builder: one: the node has 1.2 GB free; builds need 2 GB.";
    assert_eq!((reason.code.as_str(), reason.text.as_str()), ("no_builder", text));
    let over = Build { deadline_at: Some(now()), ..build };
    let plan = plan(&View { builds: vec![over], ..hindered });
    assert!(matches!(&plan[..], [Action::Fail(_, reason)] if reason.text.contains("1.2 GB")));
}
