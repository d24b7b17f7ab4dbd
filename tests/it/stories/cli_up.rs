//! `zeitwork up` and what goes wrong around it.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use zeitwork_tests::http::Ask;
use zeitwork_tests::load::Load;
use zeitwork_tests::process::Frozen;
use zeitwork_tests::up::{PUBLIC, free_ports, program};
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, Up, eventually};

use super::live_project;

/// Longest time until a part that ended runs again.
const AGAIN_LIMIT: Duration = Duration::from_secs(45);

fn up(state: &Path) -> Command {
    let mut command = Command::new(program("zeitwork"));
    command.env_clear().arg("up").env("ZEITWORK_STATE_DIR", state).kill_on_drop(true);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let names = ["API", "OPERATOR", "NODE", "EDGE_ADMIN", "EDGE_HTTP"];
    for (name, port) in names.into_iter().zip(free_ports::<5>()) {
        command.env(format!("ZEITWORK_{name}_ADDRESS"), port.to_string());
    }
    command
}

fn supervisor(up: &Up) -> Pid {
    Pid::from_raw(i32::try_from(up.announced()["pid"].as_i64().unwrap()).unwrap())
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_dies_is_started_again_and_visitors_notice_nothing() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, _) = live_project(&cluster, "acme/phoenix").await;
    let load = Load::start(&[cluster.edge], &project.host, 2);
    let first = cluster.postgres().unwrap();
    kill(first, Signal::SIGKILL).unwrap();
    let commit = repository.commit(&[("version", "2\n")], "After").await.unwrap();
    // A delivery that GitHub cannot get rid of meanwhile is found later, by the sweep.
    eventually("the api has a database again", AGAIN_LIMIT, || async {
        let ready = Ask::get("api", "/readyz").send(cluster.api).await?;
        let is_another = cluster.postgres().is_some_and(|pid| pid != first);
        if is_another && ready.status.is_success() { Ok(()) } else { Err(ready.text()) }
    })
    .await;
    cluster.push(&repository).await;
    cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
    owner.live(&project, &commit).await;
    let seen = load.finish().await;
    assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    assert!(cluster.printed().contains("the database ended"), "{}", cluster.printed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_keeps_ending_is_said_once_with_its_reason_and_so_is_its_return() {
    let cluster = Cluster::start().await;
    let taken = {
        // Nobody starts the daemon again before its port is taken.
        let _frozen = Frozen::new(vec![supervisor(&cluster)]);
        cluster.signal("api", Signal::SIGKILL);
        eventually("the api's port is free to be taken", AGAIN_LIMIT, || async {
            TcpListener::bind(cluster.api).map_err(|error| error.to_string())
        })
        .await
    };
    eventually("the crash loop is said", AGAIN_LIMIT, || async {
        let said = cluster.printed();
        if said.contains("keeps ending") { Ok(()) } else { Err(said) }
    })
    .await;
    assert!(cluster.printed().contains("in use"), "{}", cluster.printed());
    let api_log = || std::fs::read_to_string(cluster.state.join("log/api.log")).unwrap();
    let starts = api_log().matches("in use").count();
    eventually("it is tried again", AGAIN_LIMIT, || async {
        if api_log().matches("in use").count() > starts { Ok(()) } else { Err(api_log()) }
    })
    .await;
    drop(taken);
    eventually("its return is said", AGAIN_LIMIT, || async {
        let said = cluster.printed();
        if said.contains("runs again") { Ok(()) } else { Err(said) }
    })
    .await;
    assert_eq!(cluster.printed().matches("keeps ending;").count(), 1, "{}", cluster.printed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_up_on_a_state_directory_is_refused_and_disturbs_nothing() {
    let cluster = Cluster::start().await;
    let (_, project, _, commit) = live_project(&cluster, "acme/twice").await;
    let api = cluster.pid("api").unwrap();
    let second = up(&cluster.state).output().await.unwrap();
    let words = String::from_utf8(second.stderr).unwrap();
    let pid = supervisor(&cluster).to_string();
    assert!(!second.status.success(), "{words}");
    assert!(words.contains("already runs") && words.contains(&pid), "{words}");
    assert_eq!(cluster.pid("api"), Some(api));
    cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn up_names_a_taken_port_before_anything_starts() {
    let state = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = up(state.path());
    let refused = command.env("ZEITWORK_OPERATOR_ADDRESS", &address).output().await.unwrap();
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success(), "{words}");
    assert!(words.contains(&address) && words.contains("ZEITWORK_OPERATOR_ADDRESS"), "{words}");
    assert!(!state.path().join("postgres").exists(), "nothing was started");
}

#[tokio::test(flavor = "multi_thread")]
async fn up_names_every_wrong_setting_of_every_daemon_before_anything_starts() {
    let state = tempfile::tempdir().unwrap();
    let mut command = up(state.path());
    let wrong = [
        ("ZEITWORK_OWNER_KEY", "short"),
        ("ZEITWORK_GITHUB_APP_ID", "seven"),
        ("ZEITWORK_NETWORK_POOL", "everywhere"),
        ("ZEITWORK_PUBLIC_URL", "/path"),
        ("ZEITWORK_API_ADRESS", "127.0.0.1:1"),
    ];
    let refused = command.envs(wrong).output().await.unwrap();
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success(), "{words}");
    for (name, _) in wrong {
        assert_eq!(words.matches(&format!("{name}: ")).count(), 1, "{name}: {words}");
    }
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0, "nothing was made or started");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_says_why_and_leaves_nothing_running() {
    let state = tempfile::tempdir().unwrap();
    open_to_all(state.path());
    let mut command = up(state.path());
    command.env("DOCKER_HOST", format!("unix://{}/no.sock", state.path().display()));
    let failed = command.output().await.unwrap();
    let words = String::from_utf8(failed.stderr).unwrap();
    assert!(!failed.status.success() && words.contains("no Docker Engine answers"), "{words}");
    assert!(state.path().join("postgres/data/PG_VERSION").exists(), "the database was started");
    assert!(!state.path().join("postgres/data/postmaster.pid").exists(), "and stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_master_key_is_told_at_once_and_no_other_is_made_in_its_place() {
    let mut cluster = Cluster::start().await;
    let (_, project, _, commit) = live_project(&cluster, "acme/keys").await;
    cluster.stop();
    let (key, aside) = (cluster.state.join("master.key"), cluster.state.join("aside.key"));
    std::fs::rename(&key, &aside).unwrap();
    let refused = up(&cluster.state).output().await.unwrap();
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && words.contains("master.key is not there"), "{words}");
    assert!(!key.exists(), "another key would look like the right one");
    std::fs::rename(&aside, &key).unwrap();
    cluster.restart().await;
    cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_terminal_stops_everything_as_an_interrupt_does() {
    let mut up = Up::prepare(PUBLIC).await;
    // Whoever runs the tests may have wanted SIGHUP ignored, and children inherit that.
    up.start_under(&["env", "--default-signal=HUP"], &[]).await;
    let daemons = ["api", "operator", "edge-proxy", "node-agent"];
    kill(supervisor(&up), Signal::SIGHUP).unwrap();
    eventually("everything is stopped", Duration::from_mins(1), || async {
        let running: Vec<&str> =
            daemons.into_iter().filter(|daemon| up.pid(daemon).is_some()).collect();
        let all = running.is_empty() && up.postgres().is_none();
        if all { Ok(()) } else { Err(format!("{running:?}, {:?}", up.postgres())) }
    })
    .await;
    up.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn up_says_at_once_that_it_needs_root() {
    let (state, everybodys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    open_to_all(everybodys.path());
    let reachable = everybodys.path().join("zeitwork");
    std::fs::copy(program("zeitwork"), &reachable).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    command.arg(reachable).arg("up").env("ZEITWORK_STATE_DIR", state.path());
    let refused = command.output().await.unwrap();
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && words.contains("needs root"), "{words}");
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0, "nothing was made");
}
