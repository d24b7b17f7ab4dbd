use std::os::unix::fs::PermissionsExt as _;

use zeitwork_model::generation::Position;
use zeitwork_protocol::target::NodeTarget;

use super::{Offer, Targets};

fn at(epoch: i64, generation: i64) -> NodeTarget {
    NodeTarget {
        version: 1,
        minimum_reader: 1,
        position: Position { epoch, generation },
        instances: Vec::new(),
        builds: Vec::new(),
        keep_images: vec![format!("sha256:{generation}")],
    }
}

#[test]
fn an_older_target_is_refused_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("target.json");
    let targets = Targets::load(path.clone());
    assert_eq!(targets.offer(at(1, 7)), Offer::Taken);
    assert_eq!(targets.offer(at(1, 7)), Offer::Outdated);
    let targets = Targets::load(path.clone());
    assert_eq!(targets.offer(at(1, 6)), Offer::Outdated);
    assert_eq!(targets.position(), Some(Position { epoch: 1, generation: 7 }));
    assert_eq!(targets.offer(at(2, 3)), Offer::Taken, "a restore starts a new epoch");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_target_for_newer_agents_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let targets = Targets::load(directory.path().join("target.json"));
    assert_eq!(targets.offer(NodeTarget { minimum_reader: 99, ..at(1, 1) }), Offer::TooNew);
    assert_eq!(targets.position(), None);
}

#[test]
fn a_broken_file_is_no_target() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("target.json");
    std::fs::write(&path, "{\"version\": 1, \"pos").unwrap();
    assert_eq!(Targets::load(path).position(), None);
}
