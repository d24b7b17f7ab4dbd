use super::*;
use zeitwork_model::instance::InstanceGoal::{Pause, Run, Stop};
use zeitwork_model::instance::InstanceStatus as Status;

#[test]
fn a_report_moves_a_row_as_the_table_says() {
    let table = [
        (Status::Pending, Run, Phase::Waiting, None),
        (Status::Pending, Run, Phase::Starting, Some(Status::Starting)),
        (Status::Pending, Run, Phase::Healthy, Some(Status::Healthy)),
        (Status::Starting, Run, Phase::Healthy, Some(Status::Healthy)),
        (Status::Starting, Run, Phase::Other, None),
        (Status::Healthy, Run, Phase::Healthy, None),
        (Status::Healthy, Run, Phase::Unhealthy, Some(Status::Unhealthy)),
        (Status::Healthy, Run, Phase::Waiting, Some(Status::Unhealthy)),
        (Status::Unhealthy, Run, Phase::Healthy, Some(Status::Healthy)),
        (Status::Healthy, Run, Phase::Failed, Some(Status::Failed)),
        (Status::Draining, Run, Phase::Healthy, None),
        (Status::Draining, Run, Phase::Failed, Some(Status::Failed)),
        (Status::Draining, Pause, Phase::Other, None),
        (Status::Draining, Pause, Phase::Stopped, None),
        (Status::Draining, Stop, Phase::Stopped, Some(Status::Stopped)),
        (Status::Draining, Stop, Phase::Failed, Some(Status::Stopped)),
        (Status::Draining, Stop, Phase::Healthy, None),
        (Status::Stopped, Stop, Phase::Healthy, None),
        (Status::Failed, Run, Phase::Healthy, None),
    ];
    for (status, goal, phase, next) in table {
        let row = Row { status, goal, was_healthy: false, restarted: false };
        assert_eq!(status_after(row, phase, true), next, "{status} {goal} {phase:?}");
    }
}

/// Where the operator acts by itself later: the row is healthy, gone, or has a deadline; one that
/// was never healthy is given up by its node, which then says that it failed.
#[test]
fn no_report_about_what_shall_run_leaves_it_where_nobody_acts() {
    use Phase::{Failed, Healthy, Starting, Unhealthy, Waiting};
    let rows = [Status::Pending, Status::Starting, Status::Healthy, Status::Unhealthy]
        .into_iter()
        .flat_map(|status| [(status, false), (status, true)])
        .map(|(status, was_healthy)| Row { status, goal: Run, was_healthy, restarted: true });
    for row in rows {
        for phase in [Waiting, Starting, Healthy, Unhealthy, Failed] {
            let after = status_after(row, phase, true).unwrap_or(row.status);
            let is_right = match (phase, after) {
                (Healthy, Status::Healthy) | (Failed, Status::Failed) => true,
                (Unhealthy | Waiting | Starting, Status::Unhealthy) => true,
                (Waiting, Status::Pending | Status::Starting) => !row.was_healthy,
                // Its check ends: well, or as unhealthy.
                (Starting, Status::Starting | Status::Pending) => true,
                _ => false,
            };
            assert!(is_right, "{row:?} {phase:?} leads to {after}");
        }
    }
}

#[test]
fn what_was_frozen_is_healthy_only_by_a_report_about_its_new_goal() {
    let row = Row { status: Status::Starting, goal: Run, was_healthy: true, restarted: false };
    assert_eq!(status_after(row, Phase::Healthy, false), None);
    assert_eq!(status_after(row, Phase::Healthy, true), Some(Status::Healthy));
}

#[test]
fn an_agent_that_was_started_again_takes_nothing_out_of_service() {
    let row = |restarted| Row { status: Status::Healthy, goal: Run, was_healthy: true, restarted };
    assert_eq!(status_after(row(false), Phase::Starting, true), None);
    assert_eq!(status_after(row(true), Phase::Starting, true), Some(Status::Unhealthy));
}

#[test]
fn a_node_is_lost_after_silence_and_back_with_its_first_word() {
    let now = OffsetDateTime::UNIX_EPOCH + Duration::hours(1);
    let ago = |seconds| Some(now - Duration::seconds(seconds));
    let table = [
        (NodeStatus::Joining, None, 0, None),
        (NodeStatus::Joining, ago(1), 0, Some(NodeStatus::Ready)),
        (NodeStatus::Ready, ago(19), 1, None),
        (NodeStatus::Ready, ago(20), 1, Some(NodeStatus::Lost)),
        (NodeStatus::Lost, ago(30), 1, None),
        (NodeStatus::Lost, ago(1), 1, Some(NodeStatus::Ready)),
        (NodeStatus::Cordoned, ago(60), 1, Some(NodeStatus::Lost)),
        (NodeStatus::Draining, ago(60), 1, Some(NodeStatus::Lost)),
        (NodeStatus::Drained, ago(60), 0, Some(NodeStatus::Lost)),
        (NodeStatus::Cordoned, ago(1), 1, None),
        (NodeStatus::Draining, ago(1), 1, None),
        (NodeStatus::Draining, ago(1), 0, Some(NodeStatus::Drained)),
    ];
    for (status, reported, instances, next) in table {
        let after = node_after(status, NodeStatus::Ready, reported, instances, now);
        assert_eq!(after, next, "{status} {reported:?}");
    }
    let cordoned = node_after(NodeStatus::Lost, NodeStatus::Cordoned, ago(1), 1, now);
    assert_eq!(cordoned, Some(NodeStatus::Cordoned), "it is back as it was asked to be");
}

/// All rows that there can be.
fn rows() -> impl Iterator<Item = Row> {
    let flags = [false, true];
    Status::ALL.iter().flat_map(move |&status| {
        [Run, Pause, Stop].into_iter().flat_map(move |goal| {
            flags.into_iter().flat_map(move |was_healthy| {
                flags.map(|restarted| Row { status, goal, was_healthy, restarted })
            })
        })
    })
}

const PHASES: [Phase; 7] = [
    Phase::Waiting,
    Phase::Starting,
    Phase::Healthy,
    Phase::Unhealthy,
    Phase::Other,
    Phase::Stopped,
    Phase::Failed,
];

#[test]
fn no_report_raises_the_dead_nor_calls_healthy_what_it_does_not_say_is() {
    for row in rows() {
        for (phase, current) in PHASES.into_iter().flat_map(|p| [(p, false), (p, true)]) {
            let Some(next) = status_after(row, phase, current) else { continue };
            let what = format!("{row:?} {phase:?} leads to {next}");
            assert!(!row.status.is_final() && next != row.status, "{what}");
            assert!(next != Status::Healthy || phase == Phase::Healthy, "{what}");
            // Draining is our own doing, and so is its end before the goal says stop.
            assert!(next != Status::Draining && next != Status::Pending, "{what}");
            assert!(row.status != Status::Draining || next.is_final(), "{what}");
            assert!(next != Status::Failed || row.goal != Stop, "{what}");
            let gone = matches!(phase, Phase::Stopped | Phase::Failed);
            assert_eq!(next.is_final(), gone, "{what}");
        }
    }
}

#[test]
fn a_report_that_is_repeated_changes_nothing_more() {
    for row in rows() {
        for (phase, current) in PHASES.into_iter().flat_map(|p| [(p, false), (p, true)]) {
            let Some(status) = status_after(row, phase, current) else { continue };
            let was_healthy = row.was_healthy || status == Status::Healthy;
            let after = Row { status, was_healthy, restarted: false, ..row };
            assert_eq!(status_after(after, phase, current), None, "{row:?} {phase:?}");
        }
    }
}

#[test]
fn what_shall_stop_is_gone_once_its_node_says_so() {
    for row in rows().filter(|row| row.goal == Stop && !row.status.is_final()) {
        for phase in [Phase::Stopped, Phase::Failed] {
            assert_eq!(status_after(row, phase, true), Some(Status::Stopped), "{row:?}");
        }
    }
}

#[test]
fn silence_loses_every_node_and_its_end_brings_back_what_was_asked_of_it() {
    let now = OffsetDateTime::UNIX_EPOCH + LOST_AFTER;
    let (silent, fresh) = (Some(OffsetDateTime::UNIX_EPOCH), Some(now));
    for &status in NodeStatus::ALL {
        for instances in [0, 1] {
            let lost = node_after(status, NodeStatus::Ready, silent, instances, now);
            let is_known = !matches!(status, NodeStatus::Joining | NodeStatus::Lost);
            assert_eq!(lost, is_known.then_some(NodeStatus::Lost), "{status}");
            let back = node_after(NodeStatus::Lost, status, fresh, instances, now);
            assert_eq!(back, Some(status), "{status}");
            let stays = node_after(status, NodeStatus::Ready, fresh, instances, now);
            assert_ne!(stays, Some(NodeStatus::Lost), "{status}");
            let is_emptied = stays == Some(NodeStatus::Drained);
            assert_eq!(is_emptied, status == NodeStatus::Draining && instances == 0, "{status}");
        }
    }
}
