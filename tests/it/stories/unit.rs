//! The unit of systemd: well formed, and enough for the platform.

use std::path::Path;
use std::process::Command;

use zeitwork_tests::Up;
use zeitwork_tests::up::{PUBLIC, program};
use zeitwork_tests::user::LIVE_LIMIT;

fn unit() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join("deploy/systemd/zeitwork.service")).unwrap()
}

/// The value of a line.
fn setting(unit: &str, name: &str) -> String {
    let line = unit.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    line.unwrap_or_else(|| panic!("the unit has no {name}")).to_owned()
}

#[test]
fn the_unit_is_well_formed() {
    let directory = tempfile::tempdir().unwrap();
    let unit = unit();
    let command = setting(&unit, "ExecStart");
    let installed = command.split(' ').next().unwrap();
    let file = directory.path().join("zeitwork.service");
    // The programs of this build stand for the installed ones.
    let here = program("zeitwork").display().to_string();
    std::fs::write(&file, unit.replace(installed, &here)).unwrap();
    let verified = Command::new("systemd-analyze").arg("verify").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    // Units that this host does not have (docker.service) are not ours to judge.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("zeitwork.service")).collect();
    let ours: Vec<&&str> = ours.iter().filter(|line| !line.contains("docker.service")).collect();
    assert_eq!(ours, Vec::<&&str>::new(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_that_the_unit_leaves_are_enough_to_build_and_serve() {
    let unit = unit();
    let rights = setting(&unit, "CapabilityBoundingSet").to_lowercase().replace("cap_", "+");
    let rights = format!("-all,{}", rights.split_whitespace().collect::<Vec<&str>>().join(","));
    let mut up = Up::prepare(PUBLIC).await;
    up.start_under(&["setpriv", "--bounding-set", &rights, "--"], &["--demo"]).await;
    let app = up.announced()["app"].as_str().unwrap().to_owned();
    let host = app.trim_start_matches("http://").split(':').next().unwrap().to_owned();
    up.page_with(&host, "Hello from Zeitwork", LIVE_LIMIT).await;
    up.stop_and_leave_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_umask_does_not_shut_the_daemons_out() {
    let mut up = Up::prepare(PUBLIC).await;
    up.start_under(&["sh", "-c", "umask 077; exec \"$0\" \"$@\""], &["--demo"]).await;
    up.stop();
}
