//! `make up`, as a person with a fresh machine sees it.

use std::path::Path;
use std::process::Command;

use zeitwork_tests::up::PRIVATE;
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, Up, eventually};

use super::{live_project, processes};

/// The host in `http://<host>:<port>`.
fn host(address: &str) -> &str {
    address.trim_start_matches("http://").split(':').next().unwrap()
}

/// What stands between two marks of the sample's page.
fn shown(page: &str, id: &str) -> String {
    let from = page.split_once(&format!("<dd id=\"{id}\">")).unwrap().1;
    from.split_once('<').unwrap().0.to_owned()
}

fn git(working_copy: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.arg("-C").arg(working_copy).args(["-c", "user.name=A", "-c", "user.email=a@example.com"]);
    let ran = git.args(arguments).output().unwrap();
    assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn up_shows_a_sample_that_a_push_changes_and_the_next_start_serves_it_again() {
    let mut up = Up::prepare(PRIVATE).await;
    up.start(&["--demo"]).await;
    let told = up.announced();
    let (app, push) = (told["app"].as_str().unwrap(), told["push"].as_str().unwrap());
    let (api, key) = (told["api"].as_str().unwrap(), told["key"].as_str().unwrap());
    let lines = format!("app      {app}\napi      {api}\nkey      {key}\npush     {push}\nready\n");
    eventually("everything is printed", LIVE_LIMIT, || async {
        let printed = up.printed();
        if printed.ends_with("ready\n") { Ok(()) } else { Err(printed) }
    })
    .await;
    assert!(up.printed().ends_with(&lines), "{}", up.printed());
    assert_eq!(api, format!("http://{}", up.api));
    assert!(!up.printed().contains(&up.owner_key()), "the key itself is not printed");
    let working_copy =
        Path::new(push.strip_prefix("git -C ").unwrap().strip_suffix(" push").unwrap());

    let first = git(working_copy, &["rev-parse", "HEAD"]);
    let page = up.page_with(host(app), "Hello from Zeitwork", LIVE_LIMIT).await.text();
    assert_eq!(shown(&page, "commit"), first);
    std::fs::write(working_copy.join("message"), "Hello again\n").unwrap();
    git(working_copy, &["commit", "-qam", "Say it again"]);
    git(working_copy, &["push"]);
    let page = up.page_with(host(app), "Hello again", LIVE_LIMIT).await.text();
    let second = git(working_copy, &["rev-parse", "HEAD"]);
    assert_eq!(shown(&page, "commit"), second);
    let instance = shown(&page, "instance");
    assert!(instance.starts_with("ins_"), "{page}");

    up.stop_and_leave_nothing().await;
    up.start(&["--demo"]).await;
    let page = up.visit(host(app), "/").await.unwrap().text();
    assert_eq!((shown(&page, "commit"), shown(&page, "instance")), (second, instance));
    up.stop_and_leave_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn detached_instances_run_on_and_are_adopted_by_the_next_start() {
    let mut cluster = Cluster::start().await;
    let (_, project, _, _) = live_project(&cluster, "acme/detached").await;
    let page = cluster.page_with(&project.host, "instance=", LIVE_LIMIT).await.text();
    let instance = page.lines().find(|line| line.starts_with("instance=")).unwrap();
    let id = instance.trim_start_matches("instance=");
    cluster.restart_with(&["--detach-instances"]).await;
    cluster.page_with(&project.host, instance, LIVE_LIMIT).await;
    let running = processes(id);
    assert!(!running.is_empty(), "the instance runs");
    cluster.restart().await;
    assert_eq!(processes(id), running, "the same processes");
    cluster.page_with(&project.host, instance, LIVE_LIMIT).await;
}
